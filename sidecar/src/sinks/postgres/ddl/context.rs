//! Under what a DDL command runs: the role, search_path and settings it had at the source, and ours again afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::super::session::{Session, Step};
use super::super::statement::ident;
use crate::config::plan::{DdlRole, PostgresTarget};
use crate::error::{Error, Result};
use crate::event::{Ddl, Value};

const SET: &str = "select pg_catalog.set_config($1, $2, true)";
const GET: &str = "select pg_catalog.current_setting($1, true)";
const ROLE: &str = "select pg_catalog.pg_has_role(current_user, r.oid, 'member')::pg_catalog.text, r.rolsuper::pg_catalog.text
    from pg_catalog.pg_roles r where r.rolname = $1::pg_catalog.name";

/// What is changed for commands, and what it was.
#[derive(Default)]
pub(super) struct Context {
    /// Our own values of settings that events named; `None` for one this server does not have.
    own: BTreeMap<String, Option<String>>,
    /// Roles we warned of.
    warned: BTreeSet<String>,
    /// To undo: settings changed for the command at hand, and whether the role was.
    changed: Vec<String>,
    role: bool,
}

impl Context {
    /// Queues the change to the command's context.
    pub(super) async fn enter(
        &mut self,
        session: &mut Session,
        target: &PostgresTarget,
        ddl: &Ddl,
    ) -> Result<()> {
        self.changed.clear();
        self.role = self.may_take_role(session, target, ddl).await?;
        for (name, _) in &ddl.settings {
            if !self.own.contains_key(name) {
                let value = session.rows(GET, &[name]).await?.into_iter().flatten().next().flatten();
                self.own.insert(name.clone(), value);
            }
        }
        if self.role {
            session.once(Step::Own, &format!("set local role {}", ident(&ddl.role)))?;
        }
        let fixed = [("search_path", ddl.search_path.as_str()), ("row_security", "on")];
        for (name, value) in fixed {
            set(session, name, value)?;
        }
        for (name, value) in &ddl.settings {
            if self.own.get(name).is_some_and(|own| own.as_ref().is_some_and(|own| own != value)) {
                set(session, name, value)?;
                self.changed.push(name.clone());
            }
        }
        Ok(())
    }

    /// Queues the way back.
    pub(super) fn leave(&mut self, session: &mut Session) -> Result<()> {
        if self.role {
            session.once(Step::Own, "reset role")?;
        }
        for (name, value) in [("search_path", "pg_catalog"), ("row_security", "off")] {
            set(session, name, value)?;
        }
        for name in &self.changed {
            if let Some(Some(own)) = self.own.get(name) {
                set(session, name, own)?;
            }
        }
        Ok(())
    }

    /// Whether the command's role is to be taken; an error when it must be and cannot.
    async fn may_take_role(
        &mut self,
        session: &mut Session,
        target: &PostgresTarget,
        ddl: &Ddl,
    ) -> Result<bool> {
        let (role, login) = (&ddl.role, session.login.clone());
        if target.ddl_role == DdlRole::Login || role.is_empty() || *role == login.name {
            return Ok(false);
        }
        let found: Vec<_> = session.rows(ROLE, &[role]).await?.into_iter().flatten().flatten().collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let (quoted, me) = (ident(role), ident(&login.name));
        let remedy = match found[..] {
            ["true", _] => return Ok(true),
            // Nobody should grant a superuser's rights for this.
            [_, "true"] => None,
            [..] if found.is_empty() => Some(format!("create role {quoted}; grant {quoted} to {me}")),
            [..] => Some(format!("grant {quoted} to {me}")),
        };
        if login.superuser {
            // As itself it would make a user's function run with a superuser's rights.
            return Err(Error::fatal(format!(
                "role {quoted}, which ran {} at {}, does not exist at the target",
                ddl.command_tag, ddl.lsn
            ))
            .hint(format!(
                "create role {quoted}; or replay all DDL as the target login with ddl_role \"self\""
            )));
        }
        if self.warned.insert(role.clone()) {
            let remedy = remedy.map_or(String::new(), |remedy| format!("; to keep its role: {remedy}"));
            tracing::warn!("DDL of role {quoted} is replayed as {me}, who will own what it makes{remedy}");
        }
        Ok(false)
    }
}

fn set(session: &mut Session, name: &str, value: &str) -> Result<()> {
    session.execute(Step::Own, SET, [Value::Text(name.as_bytes()), Value::Text(value.as_bytes())])
}
