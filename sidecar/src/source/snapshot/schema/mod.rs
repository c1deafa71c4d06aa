//! The schema of what is copied, by `pg_dump`, restored by ourselves.
//!
//! ```text
//!   source, inside the snapshot                                   target
//!   pg_dump -Fc --snapshot  --> archive  --+
//!   catalog facts ----------> catalog -----+--> choose --> entries     clean    drops what is replaced
//!   roles ------------------> roles                          |         fit      what this login may do, and what is there
//!                                                            v         apply    roles, then all before the rows
//!                                                    Schema { before, after }   (after: by the caller, many at a time)
//! ```
//!
//! Why it is correct: the archive and every query see one exported snapshot, the same as the rows. Objects are told apart by catalogue and
//! oid, never by names found in text. pg_dump's order and its graph of needs are kept, so everything is made after what it needs. All that
//! is made before the rows is one transaction of the caller: it is there as a whole or not at all.

mod apply;
mod archive;
mod catalog;
mod choose;
mod clean;
mod database;
mod entries;
mod fit;
mod grants;
mod kinds;
mod roles;
mod tools;
mod warnings;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use tokio_postgres::Client;

pub use apply::{apply_before, explain};
pub use database::{create_database, create_tablespaces};
pub use fit::fit;

use crate::config::snapshot::DumpOptions;
use crate::error::{Error, Result};
use crate::postgres::conninfo::ConnInfo;
use crate::postgres::sql;

/// Which objects the schema is made of.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Everything but our own.
    pub whole: bool,
    /// Schemas of which everything is wanted.
    pub schemas: Vec<String>,
    /// Tables (`pg_class.oid` at the source) that are wanted: those of `schemas` that are not excluded, and single ones.
    pub tables: Vec<u32>,
    /// Tables that must not be made, and what needs them neither.
    pub without: Vec<u32>,
}

/// The schema as it is restored.
#[derive(Default)]
pub struct Schema {
    /// Statements that every session which runs an entry runs first, as one simple query. They set the role that restores, if there is one.
    pub session: String,
    /// What is made before the rows are there, in this order.
    pub before: Vec<Entry>,
    /// What is made when the rows are there: each when its `needs` are done.
    pub after: Vec<Entry>,
    /// Statements that fill the materialized views which are filled at the source, in this order.
    pub views: Vec<String>,
    /// What was left out and why, one line each.
    pub left_out: Vec<String>,
    roles: roles::Roles,
    /// With `all_globals`: the source's tablespaces and their directories.
    tablespaces: Vec<(String, String)>,
    /// Schemas of which everything is copied.
    schemas: Vec<String>,
}

/// One object or property, with the statements that make it.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Number within the dump.
    pub id: u32,
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, `ACL`, ...: as `pg_restore --list` has it.
    pub kind: String,
    /// Its name for people: `public.t t_pkey`.
    pub name: String,
    /// Statements that make it, runnable alone in a session prepared by [`Schema::session`].
    pub sql: String,
    /// Entries of [`Schema::after`] that must be done first.
    pub needs: Vec<u32>,
    /// Tables (`pg_class.oid` at the source) it locks at the target, partitions and children included.
    pub tables: Vec<u32>,
    /// It locks them only against writes, so that others which are shared can run at the same time: a plain CREATE INDEX.
    pub shared: bool,
    /// The selection names it, or it belongs to what it names; else it is only needed by that.
    own: bool,
    /// All entries it needs.
    requires: Vec<u32>,
    owner: Option<Owner>,
    definition: String,
    schema: String,
    tag: String,
    drop: String,
    tablespace: String,
    access_method: String,
    partitioned: bool,
}

/// A statement of ours with what it makes, for people. It may hold a password: it has no `Debug`.
struct Statement {
    name: String,
    sql: String,
}

/// Gives an object to a role.
#[derive(Debug, Clone)]
struct Owner {
    role: String,
    sql: String,
}

/// Settings at the head of a script of pg_dump. Timeouts that only some versions know are set where they are known.
const SESSION: &str = "\
select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name in ('statement_timeout', 'lock_timeout', \
    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout');
set client_encoding = 'UTF8';
select pg_catalog.set_config('search_path', '', false);
set check_function_bodies = false;
set xmloption = content;
set client_min_messages = warning;
set row_security = off;
set default_tablespace = '';
set default_table_access_method = heap;
";

/// Dumps the schema as of an exported snapshot. `client` is a session inside that snapshot (repeatable read), `snapshot` its exported id.
///
/// # Errors
/// Fatal: no fitting `pg_dump`, or what it reports. Transient: the server cannot be reached.
pub async fn dump(
    url: &ConnInfo,
    client: &Client,
    snapshot: &str,
    selection: &Selection,
    options: &DumpOptions,
) -> Result<Schema> {
    let version = "select pg_catalog.current_setting('server_version_num')::integer / 10000";
    let version: i32 = client.query_one(version, &[]).await.map_err(sql::of)?.get(0);
    let program = tools::find(version.unsigned_abs()).await?;
    let hidden = catalog::hidden(client, selection).await?;
    let arguments = arguments(snapshot, &hidden, options);
    let mut items = archive::read(&tools::run(&program, url, arguments).await?)?;
    choose::add_hidden(&mut items, &hidden);
    let catalog = catalog::Catalog::read(client).await?;
    let choice = choose::choose(&items, &catalog, selection);
    let mut schema = entries::build(&items, &catalog, choice, options);
    schema.schemas = schema.named(selection);
    schema.roles = roles::Roles::read(client, &schema.role_names(), options).await?;
    if options.all_globals {
        schema.tablespaces = database::tablespaces(client).await?;
    }
    if let Some(file) = &options.dump_file {
        write(file, &schema.script()).map_err(|error| {
            Error::fatal(format!("cannot write {}: {error}", file.display())).because(error)
        })?;
    }
    Ok(schema)
}

fn arguments(snapshot: &str, hidden: &[catalog::Hidden], options: &DumpOptions) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--format=custom",
        "--schema-only",
        "--encoding=UTF8",
        "--no-password",
        "--no-publications",
        "--no-subscriptions",
        "--quote-all-identifiers",
    ]
    .map(Into::into)
    .into();
    arguments.push(format!("--snapshot={snapshot}").into());
    if options.excluded_security_labels.iter().any(|provider| provider == "*") {
        arguments.push("--no-security-labels".into());
    }
    arguments.extend(hidden.iter().map(|table| format!("--exclude-table={}", table.pattern()).into()));
    arguments
}

impl Schema {
    /// Schemas of which everything is copied.
    fn named(&self, selection: &Selection) -> Vec<String> {
        let made = self
            .before
            .iter()
            .filter(|entry| entry.kind == "SCHEMA" && entry.own)
            .map(|entry| entry.tag.clone());
        let public = selection.whole.then(|| "public".to_owned());
        let all: HashSet<String> = made.chain(public).chain(selection.schemas.iter().cloned()).collect();
        let mut all: Vec<String> = all.into_iter().collect();
        all.sort_unstable();
        all
    }

    /// Roles that own, or are named by, something of it.
    fn role_names(&self) -> HashSet<String> {
        let mut names = HashSet::new();
        for entry in self.before.iter().chain(&self.after) {
            names.extend(entry.owner.iter().map(|owner| owner.role.clone()));
            if kinds::names_roles(&entry.kind) {
                let parts = grants::parts(&entry.definition).unwrap_or_default();
                names.extend(parts.into_iter().flat_map(|part| part.roles));
            }
        }
        names
    }

    /// Keeps some entries, and of what they need only what is still to be made.
    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.before.retain(&keep);
        self.after.retain(&keep);
        let left: HashSet<u32> = self.after.iter().map(|entry| entry.id).collect();
        self.after.iter_mut().for_each(|entry| entry.needs.retain(|id| left.contains(id)));
    }

    /// Roles and all entries as one script of plain SQL, without passwords.
    pub fn script(&self) -> String {
        let mut script = format!("{}{}", self.roles.script(), self.session);
        for entry in self.before.iter().chain(&self.after) {
            script +=
                &format!("\n-- {} {}\n{}", entry.kind, entry.name.replace(['\n', '\r'], " "), entry.sql);
        }
        script
    }
}

/// Writes a file that only its owner can read: there as a whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(part, path)
}
