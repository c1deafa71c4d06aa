//! What a setting is: its names, its kind of value, and what we do with it. The rows themselves are in [`super::table`].

use super::table::SETTINGS;

/// Prefix of every environment variable of ours.
pub const PREFIX: &str = "PGSTREAM_";

/// One setting under all its names.
#[derive(Debug)]
pub struct Setting {
    /// Path in a yaml file; also its name in our own code.
    pub key: &'static str,
    /// Environment variables without [`PREFIX`]; the first one counts when several are given.
    pub env: &'static [&'static str],
    /// Flags that set it.
    pub flags: &'static str,
    /// What values look like.
    pub kind: Kind,
    /// What we do with it.
    pub scope: Scope,
    /// The value when none is given, as documented.
    pub default: &'static str,
    /// One line for the reader of the documentation.
    pub about: &'static str,
}

/// What values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A PostgreSQL URL or keywords; checked, and never repeated in a message.
    PostgresUrl,
    /// Another address that may hold a password; never repeated in a message.
    Url,
    /// `true` or `false`.
    Bool,
    /// `true`, `false`, or just being there (`stdout: {}`).
    Presence,
    /// `true`, `false` or `auto`.
    BoolOrAuto,
    /// `true`, `false`, or a PostgreSQL URL, which stands for `true`; never repeated in a message.
    BoolOrUrl,
    /// `5s`, `1m30s`; a bare number is milliseconds.
    Millis,
    /// `5s`, `1m30s`; a bare number is seconds.
    Seconds,
    /// `64MiB`, `1MB`; a bare number is bytes.
    Size,
    /// A whole number.
    Count,
    /// A number.
    Ratio,
    /// Several words: a yaml list, or words separated by spaces or commas.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A structure of yaml that the feature reads itself.
    Tree,
}

impl Kind {
    /// Whether a value may hold a password.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::PostgresUrl | Self::Url | Self::BoolOrUrl)
    }
}

/// What we do with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It takes effect.
    Used,
    /// Accepted; nothing depends on it, for this reason.
    NoEffect(&'static str),
    /// Accepted; it belongs to a feature that this build does not have, and only matters when that feature is asked for.
    Of(Feature),
    /// Asks for this, which this build does not have: refused by `run` unless it is off.
    Refused(&'static str),
    /// Asks for this, which this build does not have: a warning, since nothing is lost without it.
    Missing(&'static str),
}

/// What this build does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Webhooks.
    Webhooks,
    /// Changing values on the way.
    Transformers,
}

impl Feature {
    /// As the reader knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Transformers => "transformers",
        }
    }
}

/// A name in a yaml file.
pub enum Path {
    /// A setting.
    Leaf(&'static Setting),
    /// A mapping that leads to settings.
    Branch,
    /// Neither.
    Unknown,
}

/// Other spellings of yaml paths.
const YAML_ALIASES: &[(&str, &str)] = &[
    ("modifiers.injector.source_url", "modifiers.injector.schemalog_url"),
    ("modifiers.injector.url", "modifiers.injector.schemalog_url"),
];

/// The setting of that yaml path.
pub fn at(path: &str) -> Path {
    let path = YAML_ALIASES.iter().find(|(alias, _)| *alias == path).map_or(path, |(_, key)| key);
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == path) {
        return Path::Leaf(setting);
    }
    let leads = |setting: &Setting| setting.key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if SETTINGS.iter().any(leads) {
        Path::Branch
    } else {
        Path::Unknown
    }
}

/// Whether that environment variable (with prefix) is one of ours.
pub fn is_variable(name: &str) -> bool {
    variables().any(|known| name.strip_prefix(PREFIX) == Some(known))
}

/// All environment variables, without prefix.
pub fn variables() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| setting.env.iter().copied())
}

/// The known variable that looks most like an unknown one.
pub fn nearest_variable(name: &str) -> Option<String> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    nearest(name, variables()).map(|found| format!("{PREFIX}{found}"))
}

/// The known yaml path that looks most like an unknown one.
pub fn nearest_path(path: &str) -> Option<String> {
    let depth = path.split('.').count();
    let cut = |key: &'static str| match key.match_indices('.').nth(depth - 1) {
        Some((at, _)) => &key[..at],
        None => key,
    };
    nearest(path, SETTINGS.iter().map(|setting| cut(setting.key))).map(str::to_owned)
}

fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let far = (name.len() / 4).max(2);
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut keys: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), all);
        for setting in SETTINGS {
            assert!(matches!(at(setting.key), Path::Leaf(_)), "{} hides behind another key", setting.key);
            let below = format!("{}.", setting.key);
            assert!(!SETTINGS.iter().any(|other| other.key.starts_with(&below)), "{} is both", setting.key);
        }
    }

    #[test]
    fn nearest_names() {
        assert_eq!(
            nearest_variable("PGSTREAM_POSTGRES_LISTENR_URL").as_deref(),
            Some("PGSTREAM_POSTGRES_LISTENER_URL")
        );
        assert_eq!(nearest_path("source.postgres.ulr").as_deref(), Some("source.postgres.url"));
        assert_eq!(nearest_path("sourc").as_deref(), Some("source"));
        assert_eq!(nearest_path("Source").as_deref(), Some("source"));
        assert_eq!(nearest_variable("PGSTREAM_XYZ"), None);
    }
}
