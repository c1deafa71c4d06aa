//! Finds `pg_dump` and runs it. The connection goes to it by its environment, never by arguments, which any user of the machine can read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Error, Result};
use crate::postgres::conninfo::{ConnInfo, SslMode};

/// Where packages put the programs of each version: Debian, Red Hat, Homebrew (Apple silicon and Intel), Alpine.
const USUAL_PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/usr/libexec", ""),
];

/// Files of trusted authorities, for a libpq that does not know `sslrootcert=system`.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The `pg_dump` for a server: of its major version, else of the lowest newer one.
///
/// # Errors
/// Fatal: there is none, or only older ones.
pub(super) async fn find(server: u32) -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for candidate in candidates() {
        if let Some(version) = version(&candidate).await {
            if version == server {
                return Ok(candidate);
            }
            found.push((version, candidate));
        }
    }
    choose(server, found)
}

fn choose(server: u32, mut found: Vec<(u32, PathBuf)>) -> Result<PathBuf> {
    found.sort_by_key(|(version, _)| *version);
    let newest = found.last().map(|(version, _)| *version);
    match found.into_iter().find(|(version, _)| *version >= server) {
        Some((_, path)) => Ok(path),
        None => Err(Error::fatal(match newest {
            Some(newest) => {
                format!("no pg_dump of version {server} or newer: the newest one found is {newest}")
            }
            None => format!("no pg_dump of version {server} or newer"),
        })
        .hint(format!("install postgresql-client-{server}"))),
    }
}

/// The programs named `pg_dump` in PATH, then in the usual places. Debian's wrapper is passed over: it runs now one version, now another.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (root, bin) in USUAL_PLACES {
        let Ok(entries) = std::fs::read_dir(root) else { continue };
        let versions = entries.flatten().map(|entry| entry.path());
        folders.extend(versions.filter(|path| is_version(path)).map(|path| path.join(bin)));
    }
    let mut found = Vec::new();
    for program in folders.iter().map(|folder| folder.join("pg_dump")) {
        let Ok(real) = program.canonicalize() else { continue };
        let known = found.contains(&real);
        if !known && real.file_name().is_some_and(|name| name == "pg_dump") {
            found.push(real);
        }
    }
    found
}

/// `16`, `pgsql-16`, `postgresql@16`, `postgresql16`, `libpq`
fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.trim_start_matches("pgsql-").trim_start_matches("postgresql").trim_start_matches('@');
    name == "libpq" || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

async fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").env_clear().kill_on_drop(true).output().await.ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

/// `pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)` -> 15; `18beta1` -> 18
fn major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("PostgreSQL) ")?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

/// Runs `pg_dump` to its end and returns what it wrote: no file is in between. It is killed when the future is dropped.
///
/// # Errors
/// What it wrote to its standard error, last lines first to be kept. Transient when the server could not be reached.
pub(super) async fn run(program: &Path, url: &ConnInfo, arguments: Vec<OsString>) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        // Settings of libpq that the URL does not have, and our own, which may hold secrets.
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.envs(environment(url)).env("LC_ALL", "C");
    let output = command
        .output()
        .await
        .map_err(|error| Error::fatal(format!("cannot run {}: {error}", program.display())).because(error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failure(&String::from_utf8_lossy(&output.stderr), &output.status.to_string(), url))
}

fn failure(stderr: &str, status: &str, url: &ConnInfo) -> Error {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut text = lines[lines.len().saturating_sub(6)..].join("; ");
    if let Some(password) =
        url.password.as_ref().map(|secret| secret.reveal()).filter(|text| !text.is_empty())
    {
        text = text.replace(password, "***");
    }
    if text.is_empty() {
        return Error::fatal(format!("pg_dump ended without a word ({status})"));
    }
    let error = text.strip_prefix("pg_dump: error: ").unwrap_or(&text);
    if passes(&text) {
        return Error::transient(format!("pg_dump: {error}"));
    }
    let fatal = Error::fatal(format!("pg_dump: {error}"));
    if text.contains("permission denied") {
        return fatal.hint("grant this login the right to read what is copied: grant pg_read_all_data to ..");
    }
    fatal
}

/// Whether another attempt, with a new snapshot, may go well.
fn passes(text: &str) -> bool {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let refused = has(&["FATAL:"])
        && !has(&[
            "the database system is",
            "too many clients",
            "connection slots",
            "terminating connection",
        ]);
    let lost = has(&[
        "connection to server",
        "server closed the connection",
        "could not connect",
        "terminating connection",
    ]);
    let snapshot =
        has(&["snapshot"]) && has(&["does not exist", "invalid snapshot identifier", "could not import"]);
    // A table that was dropped between the snapshot and its lock.
    let dropped = has(&["does not exist"]) && has(&["LOCK TABLE"])
        || has(&["could not open relation", "cache lookup failed"]);
    !refused && (lost || snapshot || dropped || has(&["canceling statement", "deadlock detected"]))
}

/// The connection as variables of libpq.
fn environment(url: &ConnInfo) -> Vec<(&'static str, OsString)> {
    let join =
        |part: &dyn Fn(&(String, u16)) -> String| url.hosts.iter().map(part).collect::<Vec<_>>().join(",");
    let mode = match url.ssl.mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    let mut variables: Vec<(&str, OsString)> = vec![
        ("PGHOST", join(&|(host, _)| host.clone()).into()),
        ("PGPORT", join(&|(_, port)| port.to_string()).into()),
        ("PGUSER", url.user.clone().into()),
        ("PGDATABASE", url.dbname.clone().into()),
        ("PGSSLMODE", mode.into()),
        ("PGGSSENCMODE", "disable".into()),
        ("PGCONNECT_TIMEOUT", url.connect_timeout.as_secs().max(2).to_string().into()),
    ];
    if let Some(password) = &url.password {
        variables.push(("PGPASSWORD", password.reveal().into()));
    }
    let verify = matches!(url.ssl.mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let system = || AUTHORITIES.iter().map(PathBuf::from).find(|path| verify && path.exists());
    let files = [
        ("PGSSLROOTCERT", url.ssl.root_cert.clone().or_else(system)),
        ("PGSSLCERT", url.ssl.cert.clone()),
        ("PGSSLKEY", url.ssl.key.clone()),
    ];
    variables.extend(files.into_iter().filter_map(|(name, file)| Some((name, file?.into()))));
    let (name, options) = parameters(url);
    variables.push(("PGAPPNAME", name.into()));
    if !options.is_empty() {
        variables.push(("PGOPTIONS", options.into()));
    }
    variables
}

/// Start-up parameters as an application name and options of the server.
fn parameters(url: &ConnInfo) -> (String, String) {
    let (mut name, mut options) = ("pgstream".to_owned(), Vec::new());
    for (key, value) in &url.parameters {
        match key.as_str() {
            "application_name" => name.clone_from(value),
            "options" => options.push(value.clone()),
            _ => options.push(format!("-c {key}={}", value.replace('\\', "\\\\").replace(' ', "\\ "))),
        }
    }
    (name, options.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_equal_or_lowest_newer_is_taken() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("something else 15.2"), None);
        let have = |versions: &[u32]| {
            versions.iter().map(|v| (*v, PathBuf::from(v.to_string()))).collect::<Vec<_>>()
        };
        let chosen =
            |server, versions: &[u32]| choose(server, have(versions)).map(|path| path.display().to_string());
        assert_eq!(chosen(15, &[17, 14, 16]).unwrap(), "16");
        let error = chosen(15, &[13, 14]).unwrap_err().to_string();
        assert!(
            error.contains("newest one found is 14") && error.contains("postgresql-client-15"),
            "{error}"
        );
        assert!(chosen(15, &[]).is_err());
    }

    #[test]
    fn folders_of_versions() {
        for name in ["15", "pgsql-16", "postgresql@17", "postgresql17", "libpq"] {
            assert!(is_version(Path::new(name)), "{name}");
        }
        for name in ["bin", "pgsql-", "postgresql", "x15"] {
            assert!(!is_version(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn the_connection_is_said_in_variables() {
        let url: ConnInfo =
            "postgres://me:p%40ss@a/db?sslmode=require&options=-c%20work_mem%3D1MB&search_path=a%20b"
                .parse()
                .unwrap();
        let variables = environment(&url);
        let value = |wanted: &str| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(value("PGPASSWORD"), Some("p@ss"));
        assert_eq!(value("PGSSLMODE"), Some("require"));
        assert_eq!(value("PGOPTIONS"), Some("-c work_mem=1MB -c search_path=a\\ b"));
        assert_eq!(value("PGSSLROOTCERT"), None);
    }

    #[test]
    fn an_error_keeps_the_words_and_not_the_secret() {
        let url: ConnInfo = "postgres://me:hunter2@a/db".parse().unwrap();
        let error = failure("pg_dump: error: query failed: ERROR:  no hunter2 here\n", "1", &url).to_string();
        assert_eq!(error, "pg_dump: query failed: ERROR:  no *** here");
        let error = failure("pg_dump: error: connection to server at \"a\" failed: refused\n", "1", &url);
        assert_eq!(error.kind(), crate::error::Kind::Transient);
        let passing = [
            "query failed: ERROR:  snapshot \"00000003-1\" does not exist",
            "query failed: ERROR:  relation \"s.t\" does not exist; Query was: LOCK TABLE s.t IN ACCESS SHARE MODE",
            "connection to server at \"a\" failed: FATAL:  the database system is starting up",
        ];
        assert!(passing.into_iter().all(passes));
        assert!(!passes("connection to server at \"a\" failed: FATAL:  no pg_hba.conf entry for host"));
        assert!(failure("", "signal: 9 (SIGKILL)", &url).to_string().contains("SIGKILL"));
    }
}
