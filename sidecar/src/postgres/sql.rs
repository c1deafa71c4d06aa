//! Ordinary SQL, through tokio-postgres over our own transport (so that TLS and addresses mean the same everywhere), and the one
//! place where a server's error becomes ours.

use tokio_postgres::{Client, Config, NoTls};

use super::conninfo::ConnInfo;
use super::transport;
use crate::error::{Error, Kind, Result};

/// A name as it stands in SQL.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string as it stands in SQL.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

/// Opens a session for ordinary statements. The connection ends with the client.
pub async fn connect(info: &ConnInfo) -> Result<Client> {
    let stream = transport::connect(info).await?;
    let mut config = Config::new();
    config.user(&info.user).dbname(&info.dbname).ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Some(password) = &info.password {
        config.password(password.reveal());
    }
    let mut options = String::new();
    let mut name = "pgstream";
    for (key, value) in &info.parameters {
        match key.as_str() {
            "application_name" => name = value,
            "options" => options = format!("{options} {value}"),
            _ => options = format!("{options} -c {key}={}", value.replace('\\', "\\\\").replace(' ', "\\ ")),
        }
    }
    config.application_name(name);
    if !options.is_empty() {
        config.options(options.trim());
    }
    let (client, connection) = config
        .connect_raw(stream, NoTls)
        .await
        .map_err(|error| of(error).context(format_args!("cannot connect to {info}")))?;
    crate::run::background(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(client)
}

/// Our error for one of tokio-postgres.
pub fn of(error: tokio_postgres::Error) -> Error {
    if let Some(db) = error.as_db_error() {
        return server_error(db.code().code(), db.message(), db.detail(), db.hint()).because(error);
    }
    // Without a server's answer the connection is gone, or the program asked for something impossible (then it will again).
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| cause.to_string());
    Error::transient(text).because(error)
}

/// Our error for a server's: the reaction by SQLSTATE class, the server's own hint kept.
pub fn server_error(code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Error {
    let text = match detail {
        Some(detail) => format!("{message}: {detail}"),
        None => message.to_owned(),
    };
    let error = match reaction(code) {
        Kind::Transient => Error::transient(text),
        Kind::Rejected => Error::rejected(text),
        Kind::Fatal | Kind::Stopped => Error::fatal(text),
    };
    let error = error.with_code(code);
    match (hint, remedy(code, message)) {
        (Some(hint), _) => error.hint(hint),
        (None, Some(remedy)) => error.hint(remedy),
        (None, None) => error,
    }
}

/// What a SQLSTATE asks for. Classes not named here describe a standing condition: a human is needed.
fn reaction(code: &str) -> Kind {
    match code {
        // too_many_connections, lock_not_available, cannot_connect_now, admin_shutdown, crash_shutdown, query_canceled, read-only, idle timeout
        "53300" | "55P03" | "57P03" | "57P01" | "57P02" | "57014" | "57P05" | "25006" => Kind::Transient,
        // object_in_use: a slot or origin held by a session that is going away
        "55006" => Kind::Transient,
        _ => match code.get(..2).unwrap_or("") {
            // connection, transaction rollback (serialization, deadlock), insufficient resources, system error
            "08" | "40" | "53" | "58" => Kind::Transient,
            // data exception, integrity constraint violation
            "22" | "23" => Kind::Rejected,
            _ => Kind::Fatal,
        },
    }
}

/// What the operator can do, for the errors met most when setting up.
fn remedy(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "check user and password of the URL",
        "28000" => "check user, database and the server's pg_hba.conf",
        "3D000" => "check the database name of the URL",
        "42501" if message.contains("walsender") => {
            "give this login the REPLICATION attribute: alter role .. replication"
        }
        "42501" if message.contains("row-level security") => {
            "a policy hides rows from this login: alter role .. bypassrls, or use the table's owner"
        }
        "42501" => "grant the missing right to this login, or use another one",
        "53300" => "raise max_connections or max_wal_senders, or close sessions",
        "53400" => "raise max_replication_slots, or drop a slot that is no longer used",
        "25006" => "connect to the primary: this server is read-only",
        _ => return None,
    })
}
