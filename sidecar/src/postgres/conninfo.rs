//! What the user wrote to reach a server: a URL (`postgres://user:secret@host:port/db?sslmode=..`) or libpq keywords
//! (`host=.. user=..`), as a checked [`ConnInfo`]. The password never leaves it by `Debug`, `Display` or an error.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::percent;

/// Where and how to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnInfo {
    /// Hosts to try in order, each with its port: a name, an address, or the directory of a unix socket (starts with `/`).
    pub hosts: Vec<(String, u16)>,
    /// Login.
    pub user: String,
    /// Password, if one was given.
    pub password: Option<Secret>,
    /// Database; the login's name when the user named none.
    pub dbname: String,
    /// Whether and how TLS is used.
    pub ssl: Ssl,
    /// Limit for reaching one host.
    pub connect_timeout: Duration,
    /// Further start-up parameters (`application_name`, `options`, any server setting).
    pub parameters: Vec<(String, String)>,
}

/// A string that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The string itself, to be sent and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// TLS settings of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ssl {
    /// How much is asked for.
    pub mode: SslMode,
    /// Certificate authorities to trust; `system` or nothing = the system's.
    pub root_cert: Option<PathBuf>,
    /// Client certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// When the server offers it, unverified.
    #[default]
    Prefer,
    /// Always, unverified.
    Require,
    /// Always; the certificate must come from a trusted authority.
    VerifyCa,
    /// Always; and be for this host.
    VerifyFull,
}

/// Why a connection string was refused. Never repeats the string: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

fn invalid<T>(why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(why.into()))
}

impl fmt::Display for ConnInfo {
    /// `postgres@localhost:5432/postgres`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if host.contains(':') {
                write!(f, "{comma}[{host}]:{port}")?;
            } else {
                write!(f, "{comma}{host}:{port}")?;
            }
        }
        write!(f, "/{}", self.dbname)
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for ConnInfo {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let mut fields = Fields::default();
        if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            fields.read_url(rest)?;
        } else if text.contains("://") {
            return invalid("not a PostgreSQL URL: it must start with postgres:// or postgresql://");
        } else if text.contains('=') {
            fields.read_keywords(text)?;
        } else {
            return invalid(
                "neither a URL (postgres://user@host:port/database) nor keywords (host=.. user=..)",
            );
        }
        fields.finish()
    }
}

/// The fields as found, before defaults.
#[derive(Default)]
struct Fields {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    connect_timeout: Option<Duration>,
    ssl: Ssl,
    parameters: Vec<(String, String)>,
}

impl Fields {
    fn read_url(&mut self, rest: &str) -> Result<(), Invalid> {
        // The login ends at the last `@` of the authority. A password may hold a raw `/` or `?` when it is followed by one.
        let authority = rest.find(['/', '?']).unwrap_or(rest.len());
        let query = rest.rfind("?").unwrap_or(rest.len());
        let at = rest[..authority].rfind('@').or_else(|| rest[..query].rfind('@'));
        let after_login = match at {
            Some(at) => {
                let (user, password) = match rest[..at].split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (&rest[..at], None),
                };
                self.user = Some(decode(user)?).filter(|user| !user.is_empty());
                self.password = password.map(decode).transpose()?.filter(|password| !password.is_empty());
                &rest[at + 1..]
            }
            None => rest,
        };
        let (before_query, query) = after_login.split_once('?').unwrap_or((after_login, ""));
        let (hosts, dbname) = before_query.split_once('/').unwrap_or((before_query, ""));
        self.dbname = Some(decode(dbname)?).filter(|name| !name.is_empty());
        self.read_hosts(hosts)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Invalid("a URL parameter has no '='".into()))?;
            self.set(&decode(key)?, decode(value)?)?;
        }
        Ok(())
    }

    fn read_hosts(&mut self, hosts: &str) -> Result<(), Invalid> {
        if hosts.is_empty() {
            return Ok(());
        }
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[') {
                Some(v6) => {
                    let (name, rest) =
                        v6.split_once(']').ok_or_else(|| Invalid("an IPv6 address lacks its ']'".into()))?;
                    (name, rest.strip_prefix(':').unwrap_or(""))
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            names.push(decode(name)?);
            ports.push(if port.is_empty() { "5432" } else { port });
        }
        self.host = Some(names.join(","));
        self.port = Some(ports.join(","));
        Ok(())
    }

    fn read_keywords(&mut self, text: &str) -> Result<(), Invalid> {
        let mut chars = text.chars().peekable();
        loop {
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.peek().is_none() {
                return Ok(());
            }
            let mut key = String::new();
            while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
                key.push(c);
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.next() != Some('=') {
                return invalid("a keyword has no '=' after it");
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            let quoted = chars.next_if_eq(&'\'').is_some();
            let mut value = String::new();
            loop {
                match chars.next() {
                    Some('\\') => value.extend(chars.next()),
                    Some('\'') if quoted => break,
                    Some(c) if !quoted && c.is_whitespace() => break,
                    Some(c) => value.push(c),
                    None if quoted => return invalid("a quoted value does not end"),
                    None => break,
                }
            }
            self.set(&key, value)?;
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), Invalid> {
        match key {
            "host" | "hostaddr" => self.host = Some(value),
            "port" => self.port = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "dbname" => self.dbname = Some(value),
            "sslmode" => {
                self.ssl.mode =
                    match value.as_str() {
                        "disable" => SslMode::Disable,
                        "allow" | "prefer" => SslMode::Prefer,
                        "require" => SslMode::Require,
                        "verify-ca" => SslMode::VerifyCa,
                        "verify-full" => SslMode::VerifyFull,
                        _ => return invalid(
                            "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full",
                        ),
                    }
            }
            "sslrootcert" => self.ssl.root_cert = (value != "system").then(|| value.into()),
            "sslcert" => self.ssl.cert = Some(value.into()),
            "sslkey" => self.ssl.key = Some(value.into()),
            "connect_timeout" => {
                let seconds =
                    value.parse().map_err(|_| Invalid("connect_timeout must be whole seconds".into()))?;
                self.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            // Of no meaning to us, but common in URLs that work elsewhere.
            "replication"
            | "gssencmode"
            | "krbsrvname"
            | "gsslib"
            | "channel_binding"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_count"
            | "tcp_user_timeout"
            | "target_session_attrs"
            | "load_balance_hosts"
            | "fallback_application_name"
            | "sslcompression"
            | "sslsni"
            | "sslnegotiation"
            | "client_encoding"
            | "passfile"
            | "requiressl" => {}
            _ if key.starts_with("pool_") => {}
            _ => self.parameters.push((key.to_owned(), value)),
        }
        Ok(())
    }

    fn finish(self) -> Result<ConnInfo, Invalid> {
        let host = self.host.filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".into());
        let port = self.port.unwrap_or_default();
        let ports: Vec<&str> = port.split(',').collect();
        let mut hosts = Vec::new();
        for (index, host) in host.split(',').enumerate() {
            let port = *ports.get(index).or(ports.last()).unwrap_or(&"");
            let port = match port {
                "" => 5432,
                text => match text.parse() {
                    Ok(port) if port > 0 => port,
                    _ => return invalid(format!("port {text:?} is not a number from 1 to 65535")),
                },
            };
            hosts.push((host.to_owned(), port));
        }
        let user = self.user.unwrap_or_else(|| "postgres".into());
        if [Some(&user), self.dbname.as_ref(), self.password.as_ref()]
            .iter()
            .flatten()
            .any(|text| text.contains('\0'))
        {
            return invalid("a NUL character cannot be part of a login, password or database name");
        }
        Ok(ConnInfo {
            hosts,
            dbname: self.dbname.unwrap_or_else(|| user.clone()),
            user,
            password: self.password.map(Secret),
            ssl: self.ssl,
            connect_timeout: self.connect_timeout.unwrap_or(Duration::from_secs(10)),
            parameters: self.parameters,
        })
    }
}

fn decode(text: &str) -> Result<String, Invalid> {
    percent::decode(text).map_err(|_| Invalid("a percent-encoded part is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConnInfo {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn urls_of_the_tutorials() {
        let info = parse("postgres://postgres:postgres@localhost:5432?sslmode=disable");
        assert_eq!(info.to_string(), "postgres@localhost:5432/postgres");
        assert_eq!(info.ssl.mode, SslMode::Disable);
        assert_eq!(
            parse("postgres://postgres:postgres@localhost").to_string(),
            "postgres@localhost:5432/postgres"
        );
    }

    #[test]
    fn any_character_in_a_password() {
        let secret = |text: &str| parse(text).password.map(|secret| secret.reveal().to_owned());
        assert_eq!(secret("postgres://u:p%40%2F%3A%3F%23%25@h/db").as_deref(), Some("p@/:?#%"));
        assert_eq!(secret("postgres://u:p@ss:w#rd@h/db").as_deref(), Some("p@ss:w#rd"));
        assert_eq!(secret("postgres://u:a/b?c@h/db?sslmode=disable").as_deref(), Some("a/b?c"));
        assert_eq!(secret("postgres://u:100%@h/db").as_deref(), Some("100%"));
        assert_eq!(
            secret(r"host=h user=u password='it\'s a \\ secret'").as_deref(),
            Some(r"it's a \ secret")
        );
        assert!(!format!("{:?}", parse("postgres://u:hunter2@h/db")).contains("hunter2"));
    }

    #[test]
    fn hosts_of_every_kind() {
        assert_eq!(parse("postgres://u@[::1]:6000/d").hosts, [("::1".to_owned(), 6000)]);
        assert_eq!(parse("postgres://u@%2Frun%2Fpg/d").hosts, [("/run/pg".to_owned(), 5432)]);
        assert_eq!(parse("postgres://u@/d?host=/run/pg&port=7").hosts, [("/run/pg".to_owned(), 7)]);
        assert_eq!(parse("host=a,b port=1,2 user=u").hosts, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(parse("host=a,b port=7 user=u").hosts, [("a".to_owned(), 7), ("b".to_owned(), 7)]);
    }

    #[test]
    fn refusals_do_not_repeat_the_secret() {
        for bad in [
            "mysql://u:hunter2@h/d",
            "hunter2",
            "postgres://u:hunter2@h:0/d",
            "postgres://u:hunter2@h/d?sslmode=x",
        ] {
            let error = bad.parse::<ConnInfo>().expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
