//! An OpenSearch or Elasticsearch.

use std::time::Duration;

use crate::config::plan::{
    Backoff, BatchLimits, SearchCluster, SearchEngine, SearchLogin, SearchTarget, SearchTls,
};
use crate::config::Settings;

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
            backoff: self.search_backoff(),
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
                Some(SearchLogin::Basic { user: decoded(user), password: decoded(password).into() })
            }
        };
        let client = self.pair(&key("tls.client_cert"), &key("tls.client_key"), problems);
        self.readable(&[&key("tls.ca_cert"), &key("tls.client_cert"), &key("tls.client_key")], problems);
        let insecure = self.flag(&key("tls.insecure_skip_verify")) == Some(true);
        let tls = SearchTls { ca_cert: text("tls.ca_cert"), client, insecure };
        let url = format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned();
        Some(SearchCluster { url, tls: (scheme == "https").then_some(tls), login })
    }

    fn search_backoff(&self) -> Backoff {
        let key = |rest: &str| format!("target.search.backoff.{rest}");
        let count =
            |rest: &str| self.number(&key(rest)).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let mut backoff = Backoff {
            initial: self
                .duration(&key("exponential.initial_interval"))
                .unwrap_or(Duration::from_millis(200)),
            max: self.duration(&key("exponential.max_interval")).unwrap_or(Duration::from_secs(10)),
            attempts: count("exponential.max_retries").unwrap_or(0),
        };
        if let Some(interval) =
            self.duration(&key("constant.interval")).filter(|interval| !interval.is_zero())
        {
            let attempts = count("constant.max_retries").unwrap_or(backoff.attempts);
            backoff = Backoff { initial: interval, max: interval, attempts };
        }
        if self.flag(&key("disable_retries")) == Some(true) {
            backoff.attempts = 1;
        }
        Backoff { max: backoff.max.max(backoff.initial), ..backoff }
    }
}

/// `%40` as `@`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_login_in_a_url_is_decoded() {
        for (text, expected) in
            [("admin", "admin"), ("p%40ss%3Aw", "p@ss:w"), ("100%", "100%"), ("%zz", "%zz")]
        {
            assert_eq!(decoded(text), expected);
        }
    }
}
