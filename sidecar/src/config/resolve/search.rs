//! An OpenSearch or Elasticsearch.

use crate::config::plan::{BatchLimits, SearchCluster, SearchEngine, SearchLogin, SearchTarget, SearchTls};
use crate::config::Settings;
use crate::percent;

const URL: &str =
    "--target-url, target.search.url, PGSTREAM_OPENSEARCH_STORE_URL or PGSTREAM_ELASTICSEARCH_STORE_URL";

impl Settings {
    /// The engine to write to. `chosen`: as it was named.
    pub(super) fn search_target(&self, chosen: &str, problems: &mut Vec<String>) -> Option<SearchTarget> {
        let number = |key: &str| self.number(&format!("target.search.{key}")).filter(|number| *number > 0);
        let limit =
            |key: &str, default| number(key).and_then(|limit| limit.try_into().ok()).unwrap_or(default);
        let given = ["target.search.url", "target.search.elasticsearch_url"].map(|key| self.text(key));
        let (url, engine) = match given {
            [Some(_), Some(_)] => {
                problems.push(format!(
                    "{}: not together with {}: give one of the two",
                    self.origin("target.search.elasticsearch_url"),
                    self.origin("target.search.url")
                ));
                return None;
            }
            [None, None] => {
                problems.push(format!("--target {chosen}: no URL: give {URL}"));
                return None;
            }
            [Some(url), None] => match self.text("target.search.engine").unwrap_or(chosen) {
                "elasticsearch" => (url, SearchEngine::Elasticsearch),
                _ => (url, SearchEngine::OpenSearch),
            },
            [None, Some(url)] => (url, SearchEngine::Elasticsearch),
        };
        Some(SearchTarget {
            cluster: self.search_cluster(url, problems)?,
            engine,
            batch: BatchLimits {
                size: limit("batch.size", 1000),
                bytes: limit("batch.max_bytes", 5_000_000),
            },
            parallel: limit("parallel_requests", 4),
            backoff: self.backoff_of(|rest| format!("target.search.backoff.{rest}")),
            hash_ids: self.flag("target.search.hash_doc_ids") == Some(true),
        })
    }

    /// Address, login and certificates. The address goes on without the login.
    fn search_cluster(&self, url: &str, problems: &mut Vec<String>) -> Option<SearchCluster> {
        let key = |rest: &str| format!("target.search.{rest}");
        let text = |rest: &str| self.text(&key(rest)).filter(|text| !text.is_empty()).map(str::to_owned);
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) if !rest.is_empty() => (scheme, rest),
            Some(_) | None => {
                problems
                    .push("the search engine's URL: expected http://host:port or https://host:port".into());
                return None;
            }
        };
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let (login, host) = match host.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, host),
        };
        let login = match (login, text("api_key")) {
            (None, None) => None,
            (None, Some(api_key)) => Some(SearchLogin::ApiKey(api_key.into())),
            (Some(_), Some(_)) => {
                problems
                    .push(format!("{}: not together with a user in the URL", self.origin(&key("api_key"))));
                None
            }
            (Some(login), None) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                match (percent::decode(user), percent::decode(password)) {
                    (Ok(user), Ok(password)) => Some(SearchLogin::Basic { user, password: password.into() }),
                    _ => {
                        problems.push("the search engine's URL: a percent-encoded part is not UTF-8".into());
                        None
                    }
                }
            }
        };
        let client = self.pair(&key("tls.client_cert"), &key("tls.client_key"), problems);
        self.readable(&[&key("tls.ca_cert"), &key("tls.client_cert"), &key("tls.client_key")], problems);
        let insecure = self.flag(&key("tls.insecure_skip_verify")) == Some(true);
        let tls = SearchTls { ca_cert: text("tls.ca_cert"), client, insecure };
        let url = format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned();
        Some(SearchCluster { url, tls: (scheme == "https").then_some(tls), login })
    }
}
