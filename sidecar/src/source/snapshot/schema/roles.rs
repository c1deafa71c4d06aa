//! Roles: read from the source's catalogue, made at the target where they are missing.
//!
//! The catalogue is asked, not `pg_dumpall`: so they belong to the same snapshot, nothing is searched for in a script, and no password goes
//! through a file or a pipe.

use std::collections::HashSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::Statement;
use crate::config::snapshot::{DumpOptions, Roles as Wanted};
use crate::error::Result;
use crate::postgres::sql;

/// Oid of the role that initdb made: every server has its own.
const BOOTSTRAP: u32 = 10;

const ROLES: &str = "
    select r.oid, r.rolname::text, r.rolsuper, r.rolreplication, r.rolbypassrls, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
        r.rolconnlimit, r.rolvaliduntil::text, pg_catalog.shobj_description(r.oid, 'pg_authid'),
        (select s.setconfig from pg_catalog.pg_db_role_setting s where s.setrole = r.oid and s.setdatabase = 0)
    from pg_catalog.pg_roles r where r.rolname not like 'pg\\_%' order by r.rolname";

const PASSWORDS: &str = "select oid, rolpassword from pg_catalog.pg_authid where rolpassword is not null";

const MEMBERSHIPS: &str = "
    select distinct on (1, 2) r.rolname::text, m.rolname::text, a.admin_option,
        (pg_catalog.to_jsonb(a) ->> 'inherit_option')::boolean, (pg_catalog.to_jsonb(a) ->> 'set_option')::boolean
    from pg_catalog.pg_auth_members a
        join pg_catalog.pg_roles r on r.oid = a.roleid join pg_catalog.pg_roles m on m.oid = a.member
    order by 1, 2, a.admin_option desc";

/// Settings whose values are lists of names.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// A role of the source. It may hold a password: it has no `Debug`.
pub(super) struct Role {
    pub(super) name: String,
    bootstrap: bool,
    /// Attributes only a superuser can give: SUPERUSER, REPLICATION, BYPASSRLS.
    high: Vec<&'static str>,
    /// The other attributes.
    low: String,
    password: Option<String>,
    comment: Option<String>,
    settings: Vec<(String, String)>,
}

/// One role's being a member of another.
pub(super) struct Membership {
    role: String,
    member: String,
    admin: bool,
    /// Since PostgreSQL 16.
    options: Option<(bool, bool)>,
}

/// The source's roles that a schema may need.
#[derive(Default)]
pub(super) struct Roles {
    pub(super) list: Vec<Role>,
    memberships: Vec<Membership>,
    /// Said once, when passwords were asked for and could not be read.
    pub(super) without_passwords: bool,
}

/// What a target allows and has.
pub(super) struct Limits<'a> {
    pub(super) existing: &'a HashSet<String>,
    pub(super) superuser: bool,
    /// Major version.
    pub(super) version: u32,
}

impl Roles {
    /// Reads the roles named in `needed`, or all, and what they are members of among themselves. Never `pg_*`; the role that initdb made
    /// only with all.
    pub(super) async fn read(
        client: &Client,
        needed: &HashSet<String>,
        options: &DumpOptions,
    ) -> Result<Self> {
        let mut roles = Self::default();
        if options.roles == Wanted::Disabled && !options.all_globals {
            return Ok(roles);
        }
        let readable =
            "select pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'select')";
        let mut passwords = std::collections::HashMap::<u32, String>::new();
        if options.roles == Wanted::Enabled {
            if client.query_one(readable, &[]).await.map_err(sql::of)?.get(0) {
                let rows = client.query(PASSWORDS, &[]).await.map_err(sql::of)?;
                passwords = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            } else {
                roles.without_passwords = true;
            }
        }
        for row in client.query(ROLES, &[]).await.map_err(sql::of)? {
            let mut role = role(&row);
            role.password = passwords.remove(&row.get(0));
            if options.all_globals || needed.contains(&role.name) && !role.bootstrap {
                roles.list.push(role);
            }
        }
        let names: HashSet<&str> = roles.list.iter().map(|role| role.name.as_str()).collect();
        for row in client.query(MEMBERSHIPS, &[]).await.map_err(sql::of)? {
            let (role, member): (&str, &str) = (row.get(0), row.get(1));
            // A predefined role (pg_monitor, ...) is at every target.
            if names.contains(member) && (names.contains(role) || role.starts_with("pg_")) {
                let options = row.get::<_, Option<bool>>(3).zip(row.get(4));
                roles.memberships.push(Membership {
                    role: role.into(),
                    member: member.into(),
                    admin: row.get(2),
                    options,
                });
            }
        }
        Ok(roles)
    }

    /// Statements that make the roles the target does not have. One that it has is left as it is. Where the login is not a superuser it
    /// becomes a member of what it makes, to be able to give it objects; attributes only a superuser can give are then left out.
    pub(super) fn statements(&self, limits: &Limits<'_>) -> Vec<Statement> {
        let new: Vec<&Role> = self.list.iter().filter(|role| !limits.existing.contains(&role.name)).collect();
        let mut statements: Vec<Statement> = new.iter().map(|role| role.create(limits)).collect();
        let made = |name: &String| new.iter().any(|role| role.name == *name);
        let predefined = |membership: &Membership| membership.role.starts_with("pg_");
        for membership in &self.memberships {
            let known = limits.existing.contains(&membership.role) || made(&membership.role);
            // What exists at the target is not ours to extend, except for a role we make.
            let allowed = limits.superuser || made(&membership.role) && !predefined(membership);
            if made(&membership.member) && known && allowed {
                statements.push(membership.grant(limits.version));
            }
        }
        if !limits.superuser {
            let grant = |role: &&Role| Statement {
                name: format!("membership of this login in {}", role.name),
                sql: format!("grant {} to current_user", escape_identifier(&role.name)),
            };
            statements.extend(new.iter().map(grant));
        }
        statements
    }

    /// Roles that are made with less than they have at the source.
    pub(super) fn lowered(&self, limits: &Limits<'_>) -> Vec<String> {
        let more = |role: &&Role| !role.high.is_empty() || !role.settings.is_empty();
        let new = self.list.iter().filter(|role| !limits.superuser && !limits.existing.contains(&role.name));
        new.filter(more).map(|role| role.name.clone()).collect()
    }

    /// All of it as a script, without passwords.
    pub(super) fn script(&self) -> String {
        let limits = Limits { existing: &HashSet::new(), superuser: true, version: 15 };
        let create = self.list.iter().map(|role| role.create_sql(&limits, None));
        let grant = self.memberships.iter().map(|membership| membership.grant(limits.version).sql);
        create.chain(grant).map(|sql| format!("{sql};\n")).collect()
    }
}

fn role(row: &tokio_postgres::Row) -> Role {
    let is = |index: usize| row.get::<_, bool>(index);
    let high = [(2, "superuser"), (3, "replication"), (4, "bypassrls")];
    let low = [
        (5, "inherit", "noinherit"),
        (6, "createrole", "nocreaterole"),
        (7, "createdb", "nocreatedb"),
        (8, "login", "nologin"),
    ];
    let mut words: Vec<String> =
        low.iter().map(|(index, yes, no)| if is(*index) { *yes } else { *no }.to_owned()).collect();
    let limit: i32 = row.get(9);
    if limit != -1 {
        words.push(format!("connection limit {limit}"));
    }
    if let Some(until) = row.get::<_, Option<&str>>(10) {
        words.push(format!("valid until {}", escape_literal(until)));
    }
    let settings: Option<Vec<String>> = row.get(12);
    let pair = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Role {
        name: row.get(1),
        bootstrap: row.get::<_, u32>(0) == BOOTSTRAP,
        high: high.iter().filter(|(index, _)| is(*index)).map(|(_, word)| *word).collect(),
        low: words.join(" "),
        password: None,
        comment: row.get(11),
        settings: settings.into_iter().flatten().filter_map(pair).collect(),
    }
}

impl Role {
    fn create(&self, limits: &Limits<'_>) -> Statement {
        Statement {
            name: format!("role {}", self.name),
            sql: self.create_sql(limits, self.password.as_deref()),
        }
    }

    fn create_sql(&self, limits: &Limits<'_>, password: Option<&str>) -> String {
        let name = escape_identifier(&self.name);
        let mut text = format!("create role {name} {}", self.low);
        if limits.superuser {
            self.high.iter().for_each(|word| text += &format!(" {word}"));
        }
        if let Some(password) = password {
            text += &format!(" password {}", escape_literal(password));
        }
        if let Some(comment) = &self.comment {
            text += &format!(";\ncomment on role {name} is {}", escape_literal(comment));
        }
        for (key, value) in &self.settings {
            let value = if LISTS.contains(&key.as_str()) { list(value) } else { escape_literal(value) };
            // Settings that only a superuser may give are not worth failing for.
            if limits.superuser {
                text += &format!(";\nalter role {name} set {} to {value}", setting(key));
            }
        }
        text
    }
}

/// `my.setting` -> `"my"."setting"`
fn setting(key: &str) -> String {
    key.split('.').map(escape_identifier).collect::<Vec<_>>().join(".")
}

/// `"$user", public` -> `'$user', 'public'`
fn list(value: &str) -> String {
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if !quoted && c.is_whitespace() => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names.iter().map(|name| escape_literal(name)).collect::<Vec<_>>().join(", ")
}

impl Membership {
    fn grant(&self, version: u32) -> Statement {
        let (role, member) = (escape_identifier(&self.role), escape_identifier(&self.member));
        let options = match self.options {
            Some((inherit, set)) if version >= 16 => {
                format!(" with admin {}, inherit {inherit}, set {set}", self.admin)
            }
            _ if self.admin => " with admin option".to_owned(),
            _ => String::new(),
        };
        Statement {
            name: format!("membership of {} in {}", self.member, self.role),
            sql: format!("grant {role} to {member}{options}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(name: &str) -> Role {
        Role {
            name: name.into(),
            bootstrap: false,
            high: vec!["superuser"],
            low: "nologin".into(),
            password: Some("SCRAM-SHA-256$x".into()),
            comment: None,
            settings: vec![("search_path".into(), "\"$user\", \"A, \"\"b\"".into())],
        }
    }

    #[test]
    fn only_missing_roles_are_made() {
        let roles = Roles {
            list: vec![some("a"), some("b")],
            memberships: vec![
                Membership {
                    role: "a".into(),
                    member: "b".into(),
                    admin: true,
                    options: Some((true, false)),
                },
                Membership { role: "b".into(), member: "a".into(), admin: false, options: None },
            ],
            without_passwords: false,
        };
        let existing = HashSet::from(["a".to_owned()]);
        let sql = |superuser| {
            let statements = roles.statements(&Limits { existing: &existing, superuser, version: 16 });
            statements.into_iter().map(|statement| statement.sql).collect::<Vec<_>>()
        };
        assert_eq!(
            sql(true),
            [
                "create role \"b\" nologin superuser password 'SCRAM-SHA-256$x';\nalter role \"b\" set \"search_path\" to '$user', 'A, \"b'",
                "grant \"a\" to \"b\" with admin true, inherit true, set false",
            ]
        );
        assert_eq!(
            sql(false),
            ["create role \"b\" nologin password 'SCRAM-SHA-256$x'", "grant \"b\" to current_user"]
        );
        assert!(!roles.script().contains("SCRAM"));
    }
}
