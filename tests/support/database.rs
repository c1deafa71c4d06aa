//! A test's own database, and talking to it.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postgres::{Client, SimpleQueryMessage};

use crate::{wait_until, Server, LONG};

/// A database that no other test sees; it goes, with its slots, when the value does.
pub struct Database {
    /// Where it lives.
    pub server: Arc<Server>,
    /// Unique in this process.
    pub name: String,
}

/// A session; statements of one test run in it one after the other.
pub struct Session {
    client: Client,
}

impl Database {
    /// A new one on the shared source.
    pub fn on_source() -> Database {
        Server::source().database()
    }

    /// A new one on the shared target.
    pub fn on_target() -> Database {
        Server::target().database()
    }

    /// A new, empty one; named after the test that runs.
    pub(crate) fn create(server: Arc<Server>) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let thread = std::thread::current();
        let test = thread.name().and_then(|name| name.rsplit("::").next()).unwrap_or("main");
        let name = format!("{test:.40}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut session = Session::open(&server, "postgres");
        session.execute(&format!(r#"create database "{name}" template template0"#));
        Database { server, name }
    }

    /// For clients: TCP on the loopback interface.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// A session of its own; needed for transactions and for `set`.
    #[track_caller]
    pub fn session(&self) -> Session {
        Session::open(&self.server, &self.name)
    }

    /// Runs statements in a session of their own.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.session().execute(sql);
    }

    /// The error that the statements end with, as `SQLSTATE message`.
    #[track_caller]
    pub fn error(&self, sql: &str) -> String {
        self.session().error(sql)
    }

    /// The one value of the one row, as text; NULL is "".
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        self.session().value(sql)
    }

    /// All rows, as text; NULL is "".
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.session().rows(sql)
    }

    /// One of its server's client programs, set to talk to this database.
    pub fn client(&self, program: &str) -> Command {
        let mut command = self.server.client(program);
        command.env("PGDATABASE", &self.name);
        command
    }

    /// Waits until `slot` is confirmed past everything that is committed at this moment.
    #[track_caller]
    pub fn wait_confirmed(&self, slot: &str) {
        let mut session = self.session();
        let now = session.value("select pg_current_wal_lsn()");
        let confirmed = format!(
            "select confirmed_flush_lsn >= '{now}' from pg_replication_slots where slot_name = '{slot}'"
        );
        wait_until(&format!("slot {slot} confirmed up to {now}"), LONG, || {
            (session.value(&confirmed) == "t").then_some(())
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Best effort: a test may have stopped the server, and the run's folder goes anyway.
        let Ok(client) = self.server.connect("postgres") else { return };
        let mut session = Session { client };
        let name = &self.name;
        let slots = format!(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots \
             where database = '{name}' and active_pid is not null; \
             select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '{name}'"
        );
        let _ = session.client.simple_query(&slots);
        let _ = session.client.simple_query(&format!(r#"drop database if exists "{name}" with (force)"#));
    }
}

impl Session {
    #[track_caller]
    fn open(server: &Server, database: &str) -> Session {
        let client = server.connect(database);
        Session {
            client: client
                .unwrap_or_else(|error| panic!("connect to {database} on {}: {error}", server.name)),
        }
    }

    /// Runs statements.
    #[track_caller]
    pub fn execute(&mut self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql) {
            panic!("{}\nin: {sql}", describe(&error));
        }
    }

    /// The error that the statements end with, as `SQLSTATE message`.
    #[track_caller]
    pub fn error(&mut self, sql: &str) -> String {
        let Err(error) = self.client.batch_execute(sql) else { panic!("no error from: {sql}") };
        describe(&error)
    }

    /// The one value of the one row, as text; NULL is "".
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> String {
        let mut rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "not one value but {rows:?}\nfrom: {sql}");
        rows.remove(0).remove(0)
    }

    /// All rows, as text; NULL is "".
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let messages = match self.client.simple_query(sql) {
            Ok(messages) => messages,
            Err(error) => panic!("{}\nin: {sql}", describe(&error)),
        };
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
            .collect()
    }

    /// Whether a condition holds; one that names what is not there yet does not.
    pub fn holds(&mut self, condition: &str) -> bool {
        let messages = self.client.simple_query(&format!("select {condition}")).unwrap_or_default();
        messages
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
    }

    /// Polls closely until a condition holds, and tells how long that took.
    #[track_caller]
    pub fn time_until(&mut self, condition: &str, deadline: Duration) -> Duration {
        let start = Instant::now();
        while !self.holds(condition) {
            assert!(start.elapsed() < deadline, "after {deadline:?} still not: {condition}");
            std::thread::sleep(Duration::from_micros(100));
        }
        start.elapsed()
    }

    /// The client underneath, for COPY, prepared statements and the like.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}
