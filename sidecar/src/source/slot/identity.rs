//! Which slot of which database is read, and whether it can be.

use tokio_postgres::Client;

use crate::config::plan::Source;
use crate::error::{Error, Result};
use crate::event::Lsn;
use crate::postgres::sql;

/// Which database the stream comes from: what a sink stores beside its position, so that a stream from elsewhere is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `system_identifier` of the server.
    pub system: String,
    /// Database name.
    pub database: String,
    /// Slot name.
    pub slot: String,
    /// The slot's `confirmed_flush_lsn` when we looked.
    pub confirmed: Lsn,
}

impl Identity {
    /// The stored position of a destination against the slot: what the slot has passed must be there.
    ///
    /// # Errors
    /// Fatal when the slot stands behind it.
    pub fn check_stored(&self, stored: Lsn, destination: &str) -> Result<()> {
        if self.confirmed <= stored {
            return Ok(());
        }
        let Self { slot, confirmed, .. } = self;
        Err(Error::fatal(format!(
            "slot {slot} stands at {confirmed}, but {destination} has only seen its changes up to {stored}: the slot was re-made or {destination} restored"
        ))
        .hint("changes in between are lost for it: copy the tables again with --resnapshot"))
    }
}

/// The identity of the database that a session reads without a slot, for a copy.
///
/// # Errors
/// Those of the query.
pub async fn without_slot(client: &Client) -> Result<Identity> {
    let identity = "select system_identifier::text, pg_catalog.current_database()::text from pg_catalog.pg_control_system()";
    let row = client.query_one(identity, &[]).await.map_err(sql::of)?;
    Ok(Identity { system: row.get(0), database: row.get(1), slot: String::new(), confirmed: Lsn::ZERO })
}

/// Slots of a database, with what decides whether one can be read.
const SLOTS: &str =
    "select slot_name::text, slot_type, coalesce(plugin::text, ''), coalesce(database::text, ''), \
    coalesce(active_pid, 0), coalesce(confirmed_flush_lsn::text, '0/0'), coalesce(wal_status, '') \
    from pg_catalog.pg_replication_slots order by slot_name";

/// Finds the slot to read: the named one, the default one, or else the only one of ours in this database.
///
/// # Errors
/// Fatal with the remedy when it is missing, of another database, physical, of another plugin or lost; transient while another process
/// reads it.
pub async fn find(client: &Client, source: &Source, system: &str) -> Result<Identity> {
    let database =
        client.query_one("select pg_catalog.current_database()::text", &[]).await.map_err(sql::of)?;
    let database: String = database.get(0);
    check_initialised(client, &database).await?;
    let rows = client.query(SLOTS, &[]).await.map_err(sql::of)?;
    let slots: Vec<Found> = rows.iter().map(Found::new).collect();
    let name = source.slot.clone().unwrap_or_else(|| default_slot(&database));
    let slot = match (slots.iter().find(|slot| slot.name == name), &source.slot) {
        (Some(slot), _) => slot,
        (None, None) => only_one(&slots, &database).ok_or_else(|| missing(&name))?,
        (None, Some(_)) => return Err(missing(&name)),
    };
    slot.check(&database)?;
    if slot.name != name {
        tracing::info!(slot = %slot.name, "taking the only pgstream slot of this database");
    }
    let confirmed = slot.confirmed.parse().unwrap_or(Lsn::ZERO);
    Ok(Identity { system: system.to_owned(), database, slot: slot.name.clone(), confirmed })
}

/// Where a stream would begin (the slot's position, or where the log is now) and the transaction id that is next: what commits before that position
/// is visible once all older transactions have ended.
///
/// # Errors
/// As [`find`].
pub async fn reached(source: &Source, has_slot: bool) -> Result<(Lsn, u64)> {
    let client = sql::connect(&source.url).await?;
    let at = if has_slot {
        let here = without_slot(&client).await?;
        find(&client, source, &here.system).await?.confirmed
    } else {
        let row = client.query_one("select pg_catalog.pg_current_wal_insert_lsn()::text", &[]).await;
        let at: String = row.map_err(sql::of)?.get(0);
        at.parse().map_err(|error| Error::fatal(format!("{error}")))?
    };
    Ok((at, current_xid(&client).await?))
}

async fn current_xid(client: &Client) -> Result<u64> {
    let now = "select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text";
    number(client.query_one(now, &[]).await.map_err(sql::of)?.get(0))
}

fn number(text: String) -> Result<u64> {
    text.parse().map_err(|_| Error::fatal(format!("`{text}` is not a transaction id")))
}

/// The transaction id that was next when the slot was made: older transactions may have ended before its start. Where `init` noted none, or
/// this login may not read the note, the next one now.
pub async fn next_xid(client: &Client, slot: &str) -> Result<u64> {
    let noted = "select next_xid::text from pgstream.slots where slot_name = $1 and next_xid is not null";
    let noted = match client.query_opt(noted, &[&slot]).await.map_err(sql::of) {
        Err(error) if error.code() != Some("42501") => return Err(error),
        Ok(row) => row,
        Err(_) => None,
    };
    match noted {
        Some(row) => number(row.get(0)),
        None => current_xid(client).await,
    }
}

/// `pgstream_<database>_slot`, with what a slot name cannot have replaced by `_`, cut to the 63 characters a name can have: as
/// `pgstream.default_slot_name()` has it.
pub fn default_slot(database: &str) -> String {
    const DATABASE: usize = 63 - "pgstream__slot".len();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
    format!("pgstream_{}_slot", database.to_lowercase().chars().map(plain).take(DATABASE).collect::<String>())
}

fn missing(name: &str) -> Error {
    Error::fatal(format!("replication slot {name} does not exist"))
        .hint(format!("run: pgstream init --replication-slot {name}"))
}

fn only_one<'a>(slots: &'a [Found], database: &str) -> Option<&'a Found> {
    let mut ours = slots.iter().filter(|slot| {
        slot.database == database && slot.plugin == "pgoutput" && slot.name.starts_with("pgstream")
    });
    ours.next().filter(|_| ours.next().is_none())
}

async fn check_initialised(client: &Client, database: &str) -> Result<()> {
    let sql = "select pg_catalog.to_regclass('pgstream.ddl_log') is not null, \
        exists (select from pg_catalog.pg_publication where pubname = 'pgstream_inserts')";
    let row = client.query_one(sql, &[]).await.map_err(sql::of)?;
    let (objects, publications): (bool, bool) = (row.get(0), row.get(1));
    if objects && publications {
        return Ok(());
    }
    Err(Error::fatal(format!("pgstream is not initialised in database {database}"))
        .hint("run: pgstream init"))
}

struct Found {
    name: String,
    kind: String,
    plugin: String,
    database: String,
    active_pid: i32,
    confirmed: String,
    wal_status: String,
}

impl Found {
    fn new(row: &tokio_postgres::Row) -> Self {
        Self {
            name: row.get(0),
            kind: row.get(1),
            plugin: row.get(2),
            database: row.get(3),
            active_pid: row.get(4),
            confirmed: row.get(5),
            wal_status: row.get(6),
        }
    }

    fn check(&self, database: &str) -> Result<()> {
        let name = &self.name;
        if self.kind != "logical" {
            return Err(Error::fatal(format!("replication slot {name} is a {} one", self.kind))
                .hint("name another slot"));
        }
        if self.database != database {
            return Err(Error::fatal(format!(
                "replication slot {name} belongs to database {}, not {database}",
                self.database
            ))
            .hint("name another slot, or the other database"));
        }
        if self.plugin != "pgoutput" {
            return Err(Error::fatal(format!(
                "replication slot {name} uses the plugin {}, not pgoutput",
                self.plugin
            ))
            .hint("make a new slot: pgstream init --replication-slot NAME"));
        }
        if self.wal_status == "lost" {
            return Err(Error::fatal(format!("replication slot {name} is lost: the server removed WAL it needs"))
                .hint("make it anew with pgstream destroy and init, and copy the tables again; see max_slot_wal_keep_size"));
        }
        if self.active_pid != 0 {
            return Err(Error::transient(format!(
                "replication slot {name} is in use by process {}",
                self.active_pid
            ))
            .with_code("55006")
            .hint("stop the other reader, or name another slot"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::default_slot;

    #[test]
    fn slot_names_are_valid_for_any_database() {
        assert_eq!(default_slot("postgres"), "pgstream_postgres_slot");
        assert_eq!(default_slot("My-App.db"), "pgstream_my_app_db_slot");
    }
}
