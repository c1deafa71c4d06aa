//! Restores roles and everything that comes before the rows, in the caller's transaction. Statements travel in groups; the one that
//! fails is named, with what can be done about it.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{clean, fit, Schema, Statement};
use crate::config::snapshot::DumpOptions;
use crate::error::{Error, Kind, Result};
use crate::postgres::wire::{server_message, Wire};

/// Statements sent before their answers are read, at most; and their bytes.
const GROUP: (usize, usize) = (64, 32 << 10);

/// Makes at the target what comes before the rows, in the transaction that the caller has begun on `wire` and will commit; with `clean`
/// what is replaced is dropped first. Afterwards `schema.after` fits this target, and the session keeps the settings of `schema.session`.
/// Returns warnings for people, one line each.
///
/// # Errors
/// Fatal with the object that could not be made; the caller rolls back, and nothing of it is there. Transient when the session broke.
pub async fn apply_before(
    wire: &mut Wire,
    schema: &mut Schema,
    options: &DumpOptions,
) -> Result<Vec<String>> {
    wire.simple_query(&schema.session)
        .await
        .map_err(|error| error.context("prepare the restoring session"))?;
    let mut warnings = Vec::new();
    if options.clean {
        warnings.extend(clean::drop_selected(wire, schema).await?);
    }
    fit::leave_existing(wire, schema).await?;
    let (roles, more) = fit::prepare(wire, schema, options).await?;
    warnings.extend(more);
    let roles = roles.into_iter().map(|Statement { name, sql }| (String::new(), name, sql));
    let entries =
        schema.before.iter().map(|entry| (entry.kind.clone(), entry.name.clone(), entry.sql.clone()));
    run(wire, roles.chain(entries).collect()).await?;
    if options.role.is_some() {
        wire.simple_query("reset role").await?;
    }
    Ok(warnings)
}

/// Runs statements in order: kind, name, SQL.
async fn run(wire: &mut Wire, statements: Vec<(String, String, String)>) -> Result<()> {
    let (mut start, mut bytes) = (0, 0);
    for (index, (_, _, sql)) in statements.iter().enumerate() {
        bytes += sql.len();
        if index + 1 - start == GROUP.0 || bytes > GROUP.1 || index + 1 == statements.len() {
            run_group(wire, &statements[start..=index]).await?;
            (start, bytes) = (index + 1, 0);
        }
    }
    Ok(())
}

/// Sends a group and reads its answers. A group is small, and so are the answers to commands without rows: neither side waits for the
/// other with full buffers. Once one has failed, the transaction refuses the others.
async fn run_group(wire: &mut Wire, group: &[(String, String, String)]) -> Result<()> {
    let mut messages = BytesMut::new();
    for (kind, name, sql) in group {
        frontend::query(sql, &mut messages)
            .map_err(|error| Error::fatal(format!("cannot send {kind} {name}")).because(error))?;
    }
    wire.writer.buffer.extend_from_slice(&messages);
    wire.writer.flush().await?;
    let mut failed = None;
    for (kind, name, _) in group {
        loop {
            let frame = wire.reader.next().await?;
            match frame.tag {
                b'Z' => break,
                b'E' if failed.is_none() => failed = Some(explain(kind, name, server_message(&frame))),
                _ => {}
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The error of an entry (its kind and name) that the target refused, with a remedy where one is known.
pub fn explain(kind: &str, name: &str, error: Error) -> Error {
    let code = error.code().unwrap_or_default().to_owned();
    let exists = matches!(code.as_str(), "42710" | "42P07" | "42P06" | "42723" | "42P16");
    let hint = match code.as_str() {
        "0A000" | "58P01" if kind == "EXTENSION" => {
            Some(format!("install the files of extension {name} on the target's server, or exclude the type extensions"))
        }
        "42501" if kind == "EXTENSION" => {
            Some(format!("make extension {name} at the target by a role that may, or exclude the type extensions"))
        }
        "42501" if error.to_string().contains("superuser") => {
            Some("only a superuser of the target can make it: leave it out, or make it by hand".to_owned())
        }
        "42501" if kind.is_empty() => Some("let a superuser of the target make it".to_owned()),
        "42501" => Some("let the target's login, and each new owner, create in the schema: grant create on schema .. (or set no_owner)".to_owned()),
        "42704" | "42883" | "42P01" | "3F000" if error.to_string().contains("pgstream") => {
            Some("it uses pgstream itself: run pgstream init at the target, or leave the object out".to_owned())
        }
        // The server's own hint names max_locks_per_transaction; all that is made locks something until the commit.
        "53200" => Some("raise max_locks_per_transaction at the target and restart it".to_owned()),
        _ if exists && !kind.is_empty() => {
            Some("the target has it already: start with --reset, or use snapshot mode data".to_owned())
        }
        _ => None,
    };
    // It would fail again: a file that is missing, a limit of the configuration, a value that does not fit.
    let error = match error.kind() {
        Kind::Transient if matches!(code.as_str(), "58P01" | "53200") => error.into_kind(Kind::Fatal),
        Kind::Rejected => error.into_kind(Kind::Fatal),
        _ => error,
    };
    let what = format!("{kind} {name}");
    let error = error.context(format_args!("cannot make {} at the target", what.trim()));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::sql::server_error;

    #[test]
    fn an_error_names_the_object_and_the_way_out() {
        let error =
            explain("TABLE", "public.t", server_error("42P07", "relation \"t\" already exists", None, None));
        assert_eq!(
            error.to_string(),
            "cannot make TABLE public.t at the target: relation \"t\" already exists (the target has it already: start with --reset, or use snapshot mode data)"
        );
        let error = explain(
            "EXTENSION",
            "postgis",
            server_error("58P01", "could not open extension control file", None, None),
        );
        assert_eq!(error.kind(), Kind::Fatal);
        assert!(error.to_string().contains("extension postgis"), "{error}");
        let error = explain("", "role x", server_error("42501", "permission denied", None, None));
        assert!(error.to_string().starts_with("cannot make role x at the target: permission"), "{error}");
    }
}
