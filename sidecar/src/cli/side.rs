//! The flags that name a source or a target: kind and URL.

use crate::config::Flag;

/// Kinds of sources, each with the setting its URL is.
pub(super) const SOURCES: &[(&str, &str)] =
    &[("postgres", "source.postgres.url"), ("kafka", "source.kafka.servers")];
/// Kinds of targets, each with the setting its URL is.
pub(super) const TARGETS: &[(&str, &str)] = &[
    ("postgres", "target.postgres.url"),
    ("kafka", "target.kafka.servers"),
    ("opensearch", "target.search.url"),
    ("elasticsearch", "target.search.elasticsearch_url"),
    ("stdout", ""),
];

/// One side: the kind named, or read off the URL, and the URL as that kind's setting.
pub(super) fn side(
    name: &'static str,
    kind: Option<&str>,
    url: Option<String>,
    kinds: &[(&'static str, &'static str)],
    problems: &mut Vec<String>,
) -> (Option<&'static str>, Option<Flag>) {
    let looks_postgres = |url: &str| url.starts_with("postgres") || !url.contains("://") && url.contains('=');
    let kind = match (kind, &url) {
        (Some(kind), _) => kind,
        (None, Some(url)) if looks_postgres(url) => "postgres",
        (None, Some(_)) => {
            problems.push(format!("{name}-url: say of which kind it is by {name}"));
            return (None, None);
        }
        (None, None) => return (None, None),
    };
    let Some((kind, key)) = kinds.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = kinds.iter().map(|(known, _)| *known).collect();
        problems.push(format!("{name}: {kind:?} is not one of {}", known.join(", ")));
        return (None, None);
    };
    let url_name = if name == "--source" { "--source-url" } else { "--target-url" };
    let flag = match url {
        Some(_) if key.is_empty() => {
            problems.push(format!("{url_name}: {kind} has no URL"));
            None
        }
        Some(value) => Some(Flag { name: url_name, key, value }),
        None => None,
    };
    (Some(kind), flag)
}
