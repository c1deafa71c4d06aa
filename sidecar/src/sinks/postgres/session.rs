//! The session at the target: statements are queued with what they are for, sent together, and a failure is told in those words.

use std::sync::Arc;

use crate::config::plan::{DisableTriggers, PostgresTarget};
use crate::error::{Error, Kind, Result};
use crate::event::{Lsn, Relation, Tuple, Value};
use crate::postgres::pipeline::{Failure, Outcome, Pipeline, StatementId};
use crate::postgres::wire::{Purpose, Wire};

/// Said by the server when a guarded statement found no row (see [`super::statement::guarded`]).
pub(super) const NO_ROW: &str = "pgstream: no such row";

/// Above this many bytes a round is sent even in the middle of a transaction.
const ROUND_BYTES: usize = 4 << 20;

/// Above this many parsed statements all are forgotten.
const MOST_PARSED: usize = 4096;

/// Session settings beside those every session has: nothing may cut a statement short, names are always qualified, rows that a
/// policy would hide are an error, and a committed row is visible to the next statement. Large values are packed by lz4, at a fraction of
/// pglz's work, where the server can and nobody has chosen otherwise.
pub(super) const SETTINGS: &str = "select pg_catalog.set_config(s.name, v.value, false) from (values
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('search_path', 'pg_catalog'), ('row_security', 'off'),
    ('default_transaction_isolation', 'read committed'), ('standard_conforming_strings', 'on'), ('jit', 'off'),
    ('client_connection_check_interval', '1s'), ('default_toast_compression', 'lz4'))
    v (name, value) join pg_catalog.pg_settings s using (name)
    where s.name <> 'default_toast_compression' or s.source = 'default' and 'lz4' = any (s.enumvals)";

/// Turns triggers and foreign keys off.
pub(super) const REPLICA: &str = "set session_replication_role = replica";

/// What a row's statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

/// What a queued statement is for.
pub(super) enum Step {
    /// Ours: transaction control, settings, catalogue questions.
    Own,
    /// The position in the target transaction.
    Progress,
    /// One row. `may_miss`: finding no row is no error, and is seen by nothing being affected.
    Row { op: Op, lsn: Lsn, relation: Arc<Relation>, row: Tuple, may_miss: bool },
    /// TRUNCATE.
    Truncate { lsn: Lsn, tables: String },
    /// A DDL command; its text, shortened.
    Ddl { lsn: Lsn, text: String },
}

/// Who we are at the target.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// The session's role.
    pub(super) name: String,
    /// It is a superuser.
    pub(super) superuser: bool,
    /// The database.
    pub(super) database: String,
    /// Triggers and foreign keys are off for our writes.
    pub(super) replica: bool,
    /// A value of `synchronous_commit` under which Ok means flushed: the target's own default, unless that is `off`.
    pub(super) durable: String,
}

/// A session and the statements queued on it.
pub(super) struct Session {
    pipeline: Pipeline,
    steps: Vec<Step>,
    /// Statements parsed since we last forgot them.
    parsed: usize,
    pub(super) login: Login,
}

impl Session {
    /// Connects and prepares the session for writing.
    pub(super) async fn open(target: &PostgresTarget) -> Result<Self> {
        let wire = Wire::connect(&target.url, Purpose::Sql).await?;
        let mut pipeline = Pipeline::new(wire);
        let facts = "select current_user::text, r.rolsuper::text, pg_catalog.current_database()::text,
            pg_catalog.current_setting('synchronous_commit')
            from pg_catalog.pg_roles r where r.rolname = current_user";
        let row = pipeline.query(facts).await?.pop().unwrap_or_default();
        let text = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        let durable = match text(3) {
            asynchronous if asynchronous == "off" => "local".to_owned(),
            own => own,
        };
        let login =
            Login { name: text(0), superuser: text(1) == "true", database: text(2), replica: false, durable };
        let mut session = Self { pipeline, steps: Vec::new(), parsed: 0, login };
        session.own(SETTINGS)?;
        session.own(&format!("set synchronous_commit = {}", session.login.durable))?;
        session.sync().await?;
        session.login.replica = session.triggers_off(target.disable_triggers).await?;
        Ok(session)
    }

    /// Turns triggers and foreign keys off for this session, as configured; whether it worked.
    async fn triggers_off(&mut self, wish: DisableTriggers) -> Result<bool> {
        if wish == DisableTriggers::Never {
            return Ok(false);
        }
        let tried = self.rows(REPLICA, &[]).await.map(drop);
        are_off(wish, tried, &self.login.name)
    }

    /// Queues one of our own statements, kept parsed.
    pub(super) fn own(&mut self, sql: &str) -> Result<()> {
        self.steps.push(Step::Own);
        self.pipeline.execute(sql, [])
    }

    /// Queues a statement with its values.
    pub(super) fn execute<'a>(
        &mut self,
        step: Step,
        sql: &str,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> Result<()> {
        self.steps.push(step);
        self.pipeline.execute(sql, values)
    }

    /// Queues a statement without values that will not come again.
    pub(super) fn once(&mut self, step: Step, sql: &str) -> Result<()> {
        self.steps.push(step);
        self.pipeline.run(sql)
    }

    /// The parsed statement of that text.
    pub(super) fn statement(&mut self, sql: &str) -> Result<StatementId> {
        self.parsed += 1;
        self.pipeline.statement(sql)
    }

    /// Queues a run of a parsed statement.
    pub(super) fn bind<'a>(
        &mut self,
        step: Step,
        id: StatementId,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> Result<()> {
        self.pipeline.bind(id, values).map_err(|error| told(&step, error))?;
        self.steps.push(step);
        Ok(())
    }

    /// Forgets parsed statements: their tables may have changed.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.parsed = 0;
        self.pipeline.forget()
    }

    /// True when the server keeps so many parsed statements for us that they should be forgotten.
    pub(super) fn is_crowded(&self) -> bool {
        self.parsed > MOST_PARSED
    }

    /// True when the queue is large enough to be sent before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.pipeline.buffered() > ROUND_BYTES
    }

    /// Sends what is queued and waits for it.
    pub(super) async fn sync(&mut self) -> Result<Vec<Outcome>> {
        let steps = std::mem::take(&mut self.steps);
        if self.pipeline.queued() == 0 && self.pipeline.buffered() == 0 {
            return Ok(Vec::new());
        }
        let outcomes = self.pipeline.sync().await.map_err(|failure| explain(&steps, failure))?;
        notice_misses(&steps, &outcomes);
        self.steps = steps;
        self.steps.clear();
        Ok(outcomes)
    }

    /// Sends what is queued and this statement, and returns its rows.
    pub(super) async fn rows(&mut self, sql: &str, values: &[&str]) -> Result<Vec<Vec<Option<String>>>> {
        self.execute(Step::Own, sql, values.iter().map(|text| Value::Text(text.as_bytes())))?;
        Ok(self.sync().await?.pop().map(|outcome| outcome.rows).unwrap_or_default())
    }

    /// Ends the session; the server rolls an open transaction back.
    pub(super) async fn close(self) {
        self.pipeline.close().await;
    }
}

/// Whether triggers and foreign keys are off after [`REPLICA`] was tried: a login that may not do it is an error only where that was asked for.
pub(super) fn are_off(wish: DisableTriggers, tried: Result<()>, login: &str) -> Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.code() != Some("42501") => Err(error),
        Err(_) if wish == DisableTriggers::Auto => Ok(false),
        Err(error) => Err(error.hint(format!(
            "disable_triggers is \"always\": grant set on parameter session_replication_role to {}, or choose \"auto\"",
            super::statement::ident(login)
        ))),
    }
}

/// Says which rows were not there. Only statements that may miss come here with nothing affected: the others fail.
fn notice_misses(steps: &[Step], outcomes: &[Outcome]) {
    let (mut missed, mut first) = (0_u64, None);
    for (step, outcome) in steps.iter().zip(outcomes) {
        match step {
            Step::Row { op, lsn, relation, may_miss: true, .. } if outcome.affected == 0 => match op {
                Op::Delete => tracing::debug!(table = %relation, %lsn, "the row to delete was not there"),
                Op::Insert => tracing::debug!(table = %relation, %lsn, "the target's row was kept"),
                Op::Update => {
                    missed += 1;
                    first.get_or_insert((relation, lsn));
                }
            },
            _ => {}
        }
    }
    if let Some((relation, lsn)) = first {
        tracing::warn!(rows = missed, table = %relation, %lsn, "rows to update were not there and were passed over");
    }
}

/// The error of a failed round, told by what the statement was for.
fn explain(steps: &[Step], failure: Failure) -> Error {
    let Some(step) = failure.statement.and_then(|index| steps.get(index)) else { return failure.error };
    let no_row = failure.server.as_ref().is_some_and(|server| server.message.contains(NO_ROW));
    match step {
        Step::Progress if no_row => Error::fatal("the position stored at the target was moved by someone else")
            .hint("let only one sidecar write this slot's stream to this target"),
        Step::Row { .. } if no_row => told(step, Error::rejected("the row to update does not exist at the target"))
            .hint("set on_conflict_action to \"update\" or \"nothing\", or copy the table again with a snapshot"),
        Step::Row { op: Op::Insert, .. } if failure.error.code() == Some("23505") => told(step, failure.error)
            .hint("the target has that row already: set on_conflict_action to \"update\" or \"nothing\", or remove it"),
        _ => told(step, failure.error),
    }
}

/// Puts before an error what was being done.
fn told(step: &Step, error: Error) -> Error {
    match step {
        Step::Own => error,
        Step::Progress => error.context("cannot store the position at the target"),
        Step::Row { op, lsn, relation, row, .. } => {
            let doing = match op {
                Op::Insert => "insert into",
                Op::Update => "update of",
                Op::Delete => "delete from",
            };
            error.context(format_args!("{doing} {relation}{} at {lsn}", key_text(relation, row)))
        }
        Step::Truncate { lsn, tables } => error.context(format_args!("truncate of {tables} at {lsn}")),
        // The text comes from a human who is needed to judge it, whatever the server's class for the error is.
        Step::Ddl { lsn, text } if error.kind() == Kind::Rejected => {
            error.into_kind(Kind::Fatal).context(format_args!("replay of `{text}` at {lsn}"))
        }
        Step::Ddl { lsn, text } => error.context(format_args!("replay of `{text}` at {lsn}")),
    }
}

/// ` (id = 5)`, when the key is short enough for a line.
fn key_text(relation: &Relation, row: &Tuple) -> String {
    const LONGEST: usize = 80;
    let parts: Vec<String> = relation
        .key_columns()
        .filter_map(|(index, column)| match row.get(index)? {
            Value::Text(bytes) => Some(format!("{} = {}", column.name, String::from_utf8_lossy(bytes))),
            Value::Null | Value::Unchanged | Value::Binary(_) => None,
        })
        .collect();
    let text = parts.join(", ");
    if text.is_empty() || text.len() > LONGEST || relation.identity == crate::event::ReplicaIdentity::Full {
        return String::new();
    }
    format!(" ({text})")
}
