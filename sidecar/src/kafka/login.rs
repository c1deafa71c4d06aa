//! How a client knows the brokers, and how they know it: TLS and SASL, as librdkafka names them.
//!
//! Passwords go to librdkafka and nowhere else. A token is read from its file whenever the client asks for one: at the first connection,
//! and again within [`LIFETIME`], so that whoever renews the file need not tell us.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;
use rdkafka::config::ClientConfig;

use crate::config::plan::{KafkaCluster, KafkaLogin};
use crate::error::Error;

/// The mechanism that takes tokens.
const BEARER: &str = "OAUTHBEARER";

/// How long a token is taken for good before its file is read again. When it really ends is between the broker and who made it.
const LIFETIME: Duration = Duration::from_secs(60);

/// Puts TLS and login into a client's configuration.
pub(super) fn secure(config: &mut ClientConfig, cluster: &KafkaCluster) {
    let protocol = match (&cluster.tls, &cluster.login) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(tls) = &cluster.tls {
        if let Some(file) = &tls.ca_cert {
            config.set("ssl.ca.location", file);
        }
        if let Some((certificate, key)) = &tls.client {
            config.set("ssl.certificate.location", certificate).set("ssl.key.location", key);
        }
    }
    match &cluster.login {
        None => {}
        Some(KafkaLogin::Password { mechanism, user, password }) => {
            config.set("sasl.mechanism", mechanism);
            config.set("sasl.username", user).set("sasl.password", password.reveal());
        }
        // What is set here comes back with each question for a token.
        Some(KafkaLogin::Token { file }) => {
            config.set("sasl.mechanism", BEARER).set("sasl.oauthbearer.config", file);
        }
    }
}

/// The token in that file.
///
/// # Errors
/// One line that names the file.
pub(super) fn token(file: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    let file = file.unwrap_or_default();
    let text = fs::read_to_string(file);
    let text =
        text.map_err(|error| Error::fatal(format!("the token file {file} cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Error::fatal(format!("the token file {file} does not hold one token")).into());
    }
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + LIFETIME;
    Ok(OAuthToken {
        token: token.to_owned(),
        // Only named in the client's own log: the broker reads the name in the token.
        principal_name: "pgstream".to_owned(),
        lifetime_ms: i64::try_from(until.as_millis()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_anew_each_time() {
        let file = std::env::temp_dir().join(format!("pgstream-token-{}", std::process::id()));
        let path = file.to_str().expect("a path of text");
        for text in ["first", "second\n"] {
            fs::write(&file, text).expect("write a token");
            let read = token(Some(path)).expect("a token");
            assert_eq!(read.token, text.trim());
        }
        for text in ["", "two words"] {
            fs::write(&file, text).expect("write no token");
            let error = token(Some(path)).err().expect("no token").to_string();
            assert!(error.contains(path) && !error.contains("two words"), "{error}");
        }
        fs::remove_file(&file).expect("remove the file");
        assert!(token(Some(path)).is_err());
    }
}
