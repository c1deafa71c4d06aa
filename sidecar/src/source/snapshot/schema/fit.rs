//! Makes a schema fit a target: what its login may do there, and what is there already.
//!
//! A superuser restores everything as it was. Others (the admin of a managed server) cannot give objects to roles they are not a member of,
//! make event triggers, or comment on what is not theirs: that is left out, with one warning for each reason, instead of failing.

use std::collections::{HashMap, HashSet};

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::roles::Limits;
use super::warnings::Warnings;
use super::{entries, grants, kinds, Entry, Schema, Statement};
use crate::config::snapshot::{DumpOptions, Roles};
use crate::error::{Error, Result};
use crate::postgres::wire::Wire;

/// Admin roles of providers that may make event triggers without being superusers.
const EVENT_TRIGGER_ROLES: &str =
    "'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'neon_superuser', 'alloydbsuperuser'";

/// The target, as far as it matters here.
struct Target {
    login: String,
    superuser: bool,
    createrole: bool,
    event_triggers: bool,
    version: u32,
    /// Every role; true: objects can be given to it.
    roles: HashMap<String, bool>,
    tablespaces: HashSet<String>,
    /// `SCHEMA "x"`, `EXTENSION "x"` (as the archive names them) that are there and belong to others.
    foreign: HashSet<String>,
}

/// Adapts `schema` to the target that `wire` is a session of, and returns warnings for people. Needed once before its entries are run:
/// [`super::apply_before`] does it, this is for a copy that goes on with `schema.after`.
///
/// # Errors
/// Fatal: roles are to be copied and this login may not make them. Else those of the session.
pub async fn fit(wire: &mut Wire, schema: &mut Schema, options: &DumpOptions) -> Result<Vec<String>> {
    let (_, warnings) = prepare(wire, schema, options).await?;
    Ok(warnings)
}

/// As [`fit`], with the statements that make the missing roles.
pub(super) async fn prepare(
    wire: &mut Wire,
    schema: &mut Schema,
    options: &DumpOptions,
) -> Result<(Vec<Statement>, Vec<String>)> {
    let mut target = Target::read(wire, options).await?;
    let mut warnings = Warnings::default();
    let statements = roles(schema, &mut target, options, &mut warnings)?;
    let mut gone = HashSet::new();
    for entry in schema.before.iter_mut().chain(&mut schema.after) {
        // A policy or event trigger that cannot be made takes its comment along.
        if !(kinds::describes(&entry.kind) && entry.requires.iter().any(|id| gone.contains(id))) {
            target.fit(entry, &mut warnings);
            entry.render();
        } else {
            entry.sql.clear();
        }
        if entry.sql.is_empty() && matches!(entry.kind.as_str(), "POLICY" | "EVENT TRIGGER") {
            gone.insert(entry.id);
        }
    }
    schema.retain(|entry| !entry.sql.is_empty());
    Ok((statements, warnings.lines(&target.login)))
}

/// Statements that make missing roles; these then count as existing.
fn roles(
    schema: &Schema,
    target: &mut Target,
    options: &DumpOptions,
    warnings: &mut Warnings,
) -> Result<Vec<Statement>> {
    if schema.roles.without_passwords {
        warnings.passwords = true;
    }
    let existing = target.roles.keys().cloned().collect();
    let missing: Vec<&str> = schema
        .roles
        .list
        .iter()
        .map(|role| role.name.as_str())
        .filter(|name| !target.roles.contains_key(*name))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if !target.superuser && !target.createrole {
        if options.roles == Roles::Enabled {
            return Err(Error::fatal(format!(
                "login {} may not make roles at the target: {}",
                target.login,
                missing.join(", ")
            ))
            .with_code("42501")
            .hint("give it CREATEROLE, make them by hand, or set roles_snapshot_mode to disabled"));
        }
        return Ok(Vec::new());
    }
    let limits = Limits { existing: &existing, superuser: target.superuser, version: target.version };
    let statements = schema.roles.statements(&limits);
    warnings.lowered.extend(schema.roles.lowered(&limits));
    target.roles.extend(missing.into_iter().map(|name| (name.to_owned(), true)));
    Ok(statements)
}

/// Objects that are only needed by what is copied, and there already (from an earlier copy of another table), are left as they are.
pub(super) async fn leave_existing(wire: &mut Wire, schema: &mut Schema) -> Result<()> {
    let mut queries = Vec::new();
    for entry in schema.before.iter_mut().filter(|entry| !entry.own) {
        for kind in ["FUNCTION", "PROCEDURE", "AGGREGATE"] {
            entry.definition = entries::replace_start(
                &entry.definition,
                &format!("CREATE {kind} "),
                &format!("CREATE OR REPLACE {kind} "),
            );
        }
        let Some((catalogue, name, namespace)) = kinds::catalogue(&entry.kind) else { continue };
        let schema = match namespace {
            "0" => "true".to_owned(),
            column => format!(
                "{column} = (select oid from pg_catalog.pg_namespace where nspname = {})",
                escape_literal(&entry.schema)
            ),
        };
        let tag = escape_literal(&entry.tag);
        queries.push(format!(
            "select {} where exists (select from pg_catalog.{catalogue} where {name} = {tag} and {schema})",
            entry.id
        ));
    }
    let mut there: HashSet<u32> = HashSet::new();
    for group in queries.chunks(200) {
        let rows = wire.simple_query(&group.join(" union all ")).await?;
        there.extend(rows.iter().filter_map(|row| row.first()?.as_ref()?.parse::<u32>().ok()));
    }
    // With each goes what hangs on it: it was made by the same copy.
    for entry in
        schema.before.iter().chain(&schema.after).filter(|entry| !entry.own && kinds::hangs_on(&entry.kind))
    {
        if entry.requires.iter().any(|id| there.contains(id)) {
            there.insert(entry.id);
        }
    }
    schema.retain(|entry| !there.contains(&entry.id));
    Ok(())
}

impl Target {
    async fn read(wire: &mut Wire, options: &DumpOptions) -> Result<Self> {
        let role = options.role.as_deref().map_or("current_user".to_owned(), escape_literal);
        let me = format!(
            "select r.rolname, r.rolsuper, r.rolcreaterole, pg_catalog.current_setting('server_version_num')::integer / 10000, \
             r.rolsuper or exists (select from pg_catalog.pg_roles a where a.rolname in ({EVENT_TRIGGER_ROLES}) \
             and pg_catalog.pg_has_role(r.oid, a.oid, 'member')) from pg_catalog.pg_roles r where r.rolname = {role}"
        );
        let rows = wire.simple_query(&me).await?;
        let row = rows.into_iter().next().ok_or_else(|| {
            Error::fatal(format!("role {role} is not at the target"))
                .hint("make it, or leave out the setting role")
        })?;
        let text = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        let version = text(3).parse().unwrap_or_default();
        let login = text(0);
        let me = escape_literal(&login);
        let privilege = if version >= 16 { "set" } else { "member" };
        let roles = format!(
            "select rolname, pg_catalog.pg_has_role({me}, oid, '{privilege}') from pg_catalog.pg_roles"
        );
        let foreign = format!(
            "select 'SCHEMA \"' || pg_catalog.replace(nspname, '\"', '\"\"') || '\"' from pg_catalog.pg_namespace where not pg_catalog.pg_has_role({me}, nspowner, 'usage') \
             union all select 'EXTENSION \"' || pg_catalog.replace(extname, '\"', '\"\"') || '\"' from pg_catalog.pg_extension where not pg_catalog.pg_has_role({me}, extowner, 'usage')"
        );
        let yes = |value: &Option<String>| value.as_deref() == Some("t");
        let names = |rows: Vec<Vec<Option<String>>>| {
            rows.into_iter().filter_map(|row| row.into_iter().next()?).collect()
        };
        let roles = wire.simple_query(&roles).await?;
        Ok(Self {
            superuser: text(1) == "t",
            createrole: text(2) == "t",
            event_triggers: text(4) == "t",
            version,
            roles: roles
                .into_iter()
                .filter_map(|row| Some((row.first()?.clone()?, yes(row.get(1)?))))
                .collect(),
            tablespaces: names(wire.simple_query("select spcname from pg_catalog.pg_tablespace").await?),
            foreign: names(wire.simple_query(&foreign).await?),
            login,
        })
    }

    fn fit(&self, entry: &mut Entry, warnings: &mut Warnings) {
        if !entry.tablespace.is_empty() && !self.tablespaces.contains(&entry.tablespace) {
            warnings.tablespaces.insert(std::mem::take(&mut entry.tablespace));
        }
        if entry.kind == "EVENT TRIGGER" && !self.event_triggers {
            warnings.event_triggers.insert(entry.name.clone());
            entry.definition.clear();
            entry.owner = None;
        }
        let object = (entry.kind == "COMMENT" || entry.kind == "ACL") && self.foreign.contains(&entry.tag);
        if object && !self.superuser {
            warnings.foreign.insert(format!("{} {}", entry.kind.to_lowercase(), entry.tag));
            entry.definition.clear();
        }
        let owner = entry.owner.as_ref().map(|owner| &owner.role);
        if owner.is_some_and(|role| !self.roles.get(role).copied().unwrap_or_default()) {
            warnings.owners.extend(owner.cloned());
            entry.owner = None;
        }
        // The schema public, where it is there and not ours, cannot be given away.
        if entry.kind == "SCHEMA"
            && !self.superuser
            && self.foreign.contains(&format!("SCHEMA {}", escape_identifier(&entry.tag)))
        {
            entry.owner = None;
        }
        if kinds::names_roles(&entry.kind) {
            self.fit_roles(entry, warnings);
        }
    }

    /// Takes out statements about roles that are not there, or whose part this login cannot take.
    fn fit_roles(&self, entry: &mut Entry, warnings: &mut Warnings) {
        let Some(parts) = grants::parts(&entry.definition) else { return };
        let before = parts.len();
        let mut kept = Vec::new();
        for part in parts {
            let missing: Vec<&String> =
                part.roles.iter().filter(|role| !self.roles.contains_key(*role)).collect();
            if !missing.is_empty() {
                warnings.missing.extend(missing.into_iter().cloned());
            } else if entry.kind == "DEFAULT ACL" && part.roles.first().is_some_and(|role| !self.may_be(role))
            {
                warnings.owners.extend(part.roles.first().cloned());
            } else if self.superuser || !part.authorization {
                kept.push(part);
            }
        }
        if kept.len() < before {
            entry.definition = grants::join(&kept);
        }
    }

    fn may_be(&self, role: &str) -> bool {
        self.superuser || self.roles.get(role).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::*;

    fn target(superuser: bool) -> Target {
        Target {
            login: "admin".into(),
            superuser,
            createrole: true,
            event_triggers: superuser,
            version: 15,
            roles: HashMap::from([
                ("admin".into(), true),
                ("mine".into(), true),
                ("other".into(), superuser),
            ]),
            tablespaces: HashSet::new(),
            foreign: HashSet::from(["SCHEMA \"public\"".to_owned()]),
        }
    }

    fn fitted(
        target: &Target,
        kind: &str,
        tag: &str,
        definition: &str,
        owner: Option<&str>,
    ) -> (String, String) {
        let owner = owner.map(|role| Owner { role: role.into(), sql: format!("ALTER x OWNER TO {role};\n") });
        let mut entry = Entry {
            kind: kind.into(),
            name: tag.into(),
            tag: tag.into(),
            definition: definition.into(),
            owner,
            tablespace: "fast".into(),
            ..Entry::default()
        };
        let mut warnings = Warnings::default();
        target.fit(&mut entry, &mut warnings);
        entry.render();
        (entry.sql, warnings.lines("admin").join("; "))
    }

    #[test]
    fn owners_that_cannot_be_given_are_left_out_and_said() {
        let (sql, warnings) = fitted(&target(false), "TABLE", "t", "CREATE;\n", Some("other"));
        assert_eq!(sql, "CREATE;\n");
        assert!(
            warnings.contains("other (grant them to \"admin\"") && warnings.contains("default: fast"),
            "{warnings}"
        );
        assert_eq!(
            fitted(&target(false), "TABLE", "t", "CREATE;\n", Some("mine")).0,
            "CREATE;\nALTER x OWNER TO mine;\n"
        );
        assert_eq!(
            fitted(&target(true), "TABLE", "t", "CREATE;\n", Some("other")).0,
            "CREATE;\nALTER x OWNER TO other;\n"
        );
        assert_eq!(fitted(&target(true), "TABLE", "t", "CREATE;\n", Some("nobody")).0, "CREATE;\n");
    }

    #[test]
    fn grants_lose_only_what_names_a_missing_role() {
        let acl = "GRANT SELECT ON TABLE t TO mine;\nGRANT ALL ON TABLE t TO nobody;\nSET SESSION AUTHORIZATION mine;\n\
            GRANT SELECT ON TABLE t TO PUBLIC;\nRESET SESSION AUTHORIZATION;\n";
        let (sql, warnings) = fitted(&target(false), "ACL", "TABLE t", acl, None);
        assert_eq!(sql, "GRANT SELECT ON TABLE t TO mine;\nGRANT SELECT ON TABLE t TO PUBLIC;\n");
        assert!(warnings.contains("nobody"), "{warnings}");
        assert!(fitted(&target(true), "ACL", "TABLE t", acl, None)
            .0
            .contains("SET SESSION AUTHORIZATION mine;"));
        let policy = "CREATE POLICY p ON t TO nobody USING (true);\n";
        assert_eq!(fitted(&target(true), "POLICY", "t p", policy, None).0, "");
    }

    #[test]
    fn what_belongs_to_others_is_not_touched() {
        for (kind, tag) in
            [("COMMENT", "SCHEMA \"public\""), ("ACL", "SCHEMA \"public\""), ("EVENT TRIGGER", "e")]
        {
            assert_eq!(fitted(&target(false), kind, tag, "x;", None).0, "", "{kind}");
            assert_ne!(fitted(&target(true), kind, tag, "GRANT SELECT ON t TO mine;", None).0, "", "{kind}");
        }
    }
}
