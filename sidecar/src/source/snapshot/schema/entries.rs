//! Makes restorable [`Entry`]s of the chosen archive entries: what is left out by options goes, what remains is sorted into
//! before and after the rows, with its locks and its order.

use std::collections::{HashMap, HashSet};

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::archive::{Item, Section};
use super::catalog::{Catalog, RELATION};
use super::choose::{self, Choice};
use super::{grants, kinds, Entry, Owner, Schema};
use crate::config::snapshot::DumpOptions;

/// Makes the schema of what was chosen.
pub(super) fn build(items: &[Item], catalog: &Catalog, choice: Choice, options: &DumpOptions) -> Schema {
    let servers: HashSet<&str> = items
        .iter()
        .filter(|item| item.kind == "SERVER" && choice.entries.contains_key(&item.id))
        .map(|item| item.tag.as_str())
        .collect();
    let chosen = |item: &&Item| choice.entries.contains_key(&item.id) || maps_to(item, &servers);
    let by_id: HashMap<u32, &Item> = items.iter().map(|item| (item.id, item)).collect();
    let chosen: Vec<&Item> = items.iter().filter(chosen).collect();
    let kept = kept(&chosen, &by_id, options);
    let after = after_ids(&kept);
    let mut schema =
        Schema { session: session(items, options), left_out: choice.left_out, ..Schema::default() };
    for item in &kept {
        let mut entry = entry(item, catalog, &by_id, options);
        entry.own = choice.entries.get(&item.id).copied().unwrap_or_default();
        entry.needs = item.needs.iter().copied().filter(|id| after.contains(id)).collect();
        if after.contains(&item.id) {
            schema.after.push(entry);
        } else {
            schema.before.push(entry);
        }
    }
    finish(&mut schema);
    schema.views = kept
        .iter()
        .filter(|item| catalog.filled.contains(&item.oid) && item.kind == "MATERIALIZED VIEW")
        .map(refresh)
        .collect();
    schema
}

fn refresh(item: &&Item) -> String {
    format!("refresh materialized view {}.{}", escape_identifier(&item.schema), escape_identifier(&item.tag))
}

/// Event triggers, and what describes them, come when all else is there, or they would fire for it; grants and default privileges behind
/// what they are about.
fn finish(schema: &mut Schema) {
    let triggers: HashSet<u32> =
        schema.after.iter().filter(|entry| entry.kind == "EVENT TRIGGER").map(|entry| entry.id).collect();
    let rank = |entry: &Entry| match entry {
        entry if triggers.contains(&entry.id) => 2,
        entry if entry.requires.iter().any(|id| triggers.contains(id)) => 3,
        entry => u8::from(kinds::is_late(&entry.kind)),
    };
    schema.after.sort_by_key(rank);
    let others: Vec<u32> =
        schema.after.iter().filter(|entry| rank(entry) < 2).map(|entry| entry.id).collect();
    for entry in schema.after.iter_mut().filter(|entry| triggers.contains(&entry.id)) {
        entry.needs.extend(others.iter().copied());
        entry.needs.sort_unstable();
        entry.needs.dedup();
    }
    for entry in schema.before.iter_mut().chain(&mut schema.after) {
        entry.render();
    }
    schema.retain(|entry| !entry.sql.is_empty());
}

/// The settings a session needs, as those at the head of a script of pg_dump.
fn session(items: &[Item], options: &DumpOptions) -> String {
    let strings =
        items.iter().find(|item| item.kind == "STDSTRINGS").map_or("", |item| item.definition.as_str());
    let role = options.role.iter().map(|role| format!("set role {};\n", escape_identifier(role)));
    format!("{}{}{strings}", super::SESSION, role.collect::<String>())
}

/// Whether a user mapping is for one of these servers.
fn maps_to(item: &Item, servers: &HashSet<&str>) -> bool {
    let named = || grants::parts(&item.definition)?.into_iter().find_map(|part| part.server);
    item.kind == "USER MAPPING" && named().is_some_and(|server| servers.contains(server.as_str()))
}

/// What the options leave of the chosen entries. Of kinds that are no object type, only what the others need, if types are asked for by name.
fn kept<'a>(chosen: &[&'a Item], by_id: &HashMap<u32, &Item>, options: &DumpOptions) -> Vec<&'a Item> {
    let mut ids: HashSet<u32> = HashSet::new();
    for item in chosen.iter().rev() {
        if is_kept(item, by_id, options) || ids.contains(&item.id) {
            ids.insert(item.id);
            let untyped = |id: &&u32| by_id.get(*id).is_some_and(|need| kinds::category(need).is_none());
            ids.extend(item.needs.iter().filter(untyped));
        }
    }
    chosen.iter().copied().filter(|item| ids.contains(&item.id)).collect()
}

/// Whether the options want an entry. What describes an object shares its fate, unless its own type is asked for by name.
fn is_kept(item: &Item, by_id: &HashMap<u32, &Item>, options: &DumpOptions) -> bool {
    let has = |list: &[String], item: &Item| {
        kinds::category(item).is_some_and(|category| list.iter().any(|name| name == category))
    };
    let object = item.needs.first().and_then(|id| by_id.get(id)).filter(|_| kinds::describes(&item.kind));
    let excluded =
        has(&options.exclude_types, item) || object.is_some_and(|object| has(&options.exclude_types, object));
    let included = options.include_types.is_empty()
        || item.kind == "SCHEMA"
        || has(&options.include_types, item)
        || kinds::category(item).is_none()
            && object.is_some_and(|object| has(&options.include_types, object));
    let granted = !(options.no_privileges && matches!(item.kind.as_str(), "ACL" | "DEFAULT ACL"));
    included && !excluded && granted
}

/// Ids of what comes after the rows: what the archive says, grants and the like, and what describes or needs one of those.
fn after_ids(items: &[&Item]) -> HashSet<u32> {
    let mut after = HashSet::new();
    for item in items {
        let of_schema = item.kind == "ACL" && item.schema.is_empty() && item.tag.starts_with("SCHEMA ");
        let late = kinds::is_late(&item.kind) && !of_schema;
        if item.section == Section::After || late || item.needs.iter().any(|need| after.contains(need)) {
            after.insert(item.id);
        }
    }
    after
}

fn entry(item: &Item, catalog: &Catalog, by_id: &HashMap<u32, &Item>, options: &DumpOptions) -> Entry {
    let definition = definition(item, options);
    let shared = item.kind == "INDEX" && !definition.contains("\nALTER ");
    Entry {
        id: item.id,
        kind: item.kind.clone(),
        name: choose::name(item),
        tables: tables(item, catalog, by_id),
        shared,
        owner: owner(item).filter(|_| !options.no_owner),
        schema: item.schema.clone(),
        tag: item.tag.clone(),
        drop: item.drop.clone(),
        requires: item.needs.clone(),
        tablespace: item.tablespace.clone(),
        access_method: item.access_method.clone(),
        partitioned: item.partitioned,
        definition,
        ..Entry::default()
    }
}

/// The statements of an entry, in a form that does not fail where a copy finds things in place.
fn definition(item: &Item, options: &DumpOptions) -> String {
    let text = item.definition.as_str();
    if text.starts_with("-- *not*") {
        return String::new();
    }
    match item.kind.as_str() {
        "SCHEMA" => replace_start(text, "CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS "),
        "SECURITY LABEL" => labels(text, &options.excluded_security_labels),
        _ => text.to_owned(),
    }
}

pub(super) fn replace_start(text: &str, start: &str, with: &str) -> String {
    text.strip_prefix(start).map_or_else(|| text.to_owned(), |rest| format!("{with}{rest}"))
}

fn labels(text: &str, excluded: &[String]) -> String {
    let Some(parts) = grants::parts(text) else { return text.to_owned() };
    let wanted = |part: &&grants::Part| {
        !excluded.iter().any(|name| name == "*" || part.provider.as_ref() == Some(name))
    };
    grants::join(parts.iter().filter(wanted))
}

/// `alter .. owner to ..`, as pg_restore makes it: the object is named as in the statement that drops it.
fn owner(item: &Item) -> Option<Owner> {
    if item.owner.is_empty() || !kinds::has_owner(&item.kind) {
        return None;
    }
    let object = if item.kind == "SCHEMA" {
        format!("SCHEMA {}", escape_identifier(&item.tag))
    } else {
        let named = item.drop.trim_end().trim_end_matches(';').strip_prefix("DROP ")?;
        named.strip_suffix(" CASCADE").unwrap_or(named).to_owned()
    };
    Some(Owner {
        sql: format!("ALTER {object} OWNER TO {};\n", escape_identifier(&item.owner)),
        role: item.owner.clone(),
    })
}

/// The tables an entry locks: its own, that of a foreign key's other end, and those under them; of what has no row in a catalogue,
/// those of what it needs.
fn tables(item: &Item, catalog: &Catalog, by_id: &HashMap<u32, &Item>) -> Vec<u32> {
    let key = (item.class, item.oid);
    let of = |key: &(u32, u32)| {
        [catalog.of.get(key), catalog.to.get(key)].into_iter().flatten().copied().collect::<Vec<_>>()
    };
    let mut found = match item.oid {
        0 => Vec::new(),
        oid if item.kind == "ROW SECURITY" => vec![oid],
        _ => of(&key),
    };
    if found.is_empty() {
        let needed = item.needs.iter().filter_map(|id| by_id.get(id));
        found = needed
            .flat_map(|need| match need.class {
                RELATION if !matches!(need.kind.as_str(), "INDEX" | "SEQUENCE") => vec![need.oid],
                _ => of(&(need.class, need.oid)),
            })
            .collect();
    }
    if item.kind != "INDEX" {
        found = found.into_iter().flat_map(|table| catalog.tree(table)).collect();
    }
    found.sort_unstable();
    found.dedup();
    found
}

impl Entry {
    /// Makes `sql` of the parts.
    pub(super) fn render(&mut self) {
        let mut sql = String::new();
        let method = Some(self.access_method.as_str())
            .filter(|method| !method.is_empty() && *method != "heap" && !self.partitioned);
        if !self.tablespace.is_empty() {
            sql += &format!("SET default_tablespace = {};\n", escape_literal(&self.tablespace));
        }
        if let Some(method) = method {
            sql += &format!("SET default_table_access_method = {};\n", escape_identifier(method));
        }
        sql += &self.definition;
        if self.partitioned && !self.access_method.is_empty() {
            let (schema, table) = (escape_identifier(&self.schema), escape_identifier(&self.tag));
            sql += &format!(
                "ALTER TABLE {schema}.{table} SET ACCESS METHOD {};\n",
                escape_identifier(&self.access_method)
            );
        }
        if !self.tablespace.is_empty() {
            sql += "SET default_tablespace = '';\n";
        }
        if method.is_some() {
            sql += "SET default_table_access_method = heap;\n";
        }
        sql += self.owner.as_ref().map_or("", |owner| owner.sql.as_str());
        self.sql = sql;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: &str, definition: &str) -> Item {
        Item {
            id: 1,
            kind: kind.into(),
            tag: "t".into(),
            schema: "s".into(),
            definition: definition.into(),
            ..Item::default()
        }
    }

    fn made(items: &[Item], options: &DumpOptions) -> Schema {
        let choice =
            Choice { entries: items.iter().map(|item| (item.id, true)).collect(), left_out: Vec::new() };
        build(items, &Catalog::default(), choice, options)
    }

    #[test]
    fn an_entry_stands_alone() {
        let table = Item {
            tablespace: "fast".into(),
            access_method: "columnar".into(),
            owner: "Me".into(),
            drop: "DROP TABLE s.t;\n".into(),
            ..item("TABLE", "CREATE TABLE s.t ();\n")
        };
        let sql = "SET default_tablespace = 'fast';\nSET default_table_access_method = \"columnar\";\nCREATE TABLE s.t ();\n\
            SET default_tablespace = '';\nSET default_table_access_method = heap;\n";
        let owned = format!("{sql}ALTER TABLE s.t OWNER TO \"Me\";\n");
        assert_eq!(made(std::slice::from_ref(&table), &DumpOptions::default()).before[0].sql, owned);
        assert_eq!(
            made(&[table], &DumpOptions { no_owner: true, ..DumpOptions::default() }).before[0].sql,
            sql
        );
        let schema = Item {
            drop: "-- *not* dropping schema, since initdb creates it\n".into(),
            owner: "Me".into(),
            ..item("SCHEMA", "-- *not* creating schema, since initdb creates it\n")
        };
        assert_eq!(
            made(&[schema], &DumpOptions::default()).before[0].sql,
            "ALTER SCHEMA \"t\" OWNER TO \"Me\";\n"
        );
        let schema = item("SCHEMA", "CREATE SCHEMA \"t\";\n");
        assert_eq!(
            made(&[schema], &DumpOptions::default()).before[0].sql,
            "CREATE SCHEMA IF NOT EXISTS \"t\";\n"
        );
    }

    #[test]
    fn a_plain_index_shares_its_table() {
        let index = |definition: &str| Item { section: Section::After, ..item("INDEX", definition) };
        assert!(made(&[index("CREATE INDEX i ON s.t (a);\n")], &DumpOptions::default()).after[0].shared);
        let clustered = "CREATE INDEX i ON s.t (a);\n\nALTER TABLE s.t CLUSTER ON i;\n";
        assert!(!made(&[index(clustered)], &DumpOptions::default()).after[0].shared);
    }

    #[test]
    fn event_triggers_wait_for_everything_but_their_comments() {
        let late = |id: u32, kind: &str, needs: Vec<u32>| Item {
            id,
            needs,
            section: Section::After,
            ..item(kind, "x;")
        };
        let items = [
            late(1, "EVENT TRIGGER", vec![]),
            Item { section: Section::None, ..late(2, "COMMENT", vec![1]) },
            late(3, "INDEX", vec![]),
            late(4, "ACL", vec![]),
        ];
        let after = made(&items, &DumpOptions::default()).after;
        let order: Vec<(u32, Vec<u32>)> = after.into_iter().map(|entry| (entry.id, entry.needs)).collect();
        assert_eq!(order, [(3, vec![]), (4, vec![]), (1, vec![3, 4]), (2, vec![1])]);
    }

    #[test]
    fn types_labels_and_grants_are_left_out_with_what_describes_them() {
        let items = [
            item("TABLE", "CREATE;"),
            Item { id: 2, needs: vec![1], ..item("ACL", "GRANT;") },
            Item { id: 3, needs: vec![1], ..item("COMMENT", "COMMENT;") },
            Item {
                id: 4,
                needs: vec![1],
                ..item(
                    "SECURITY LABEL",
                    "SECURITY LABEL FOR a ON TABLE t IS 'x';\nSECURITY LABEL FOR b ON TABLE t IS 'y';\n",
                )
            },
            Item { id: 5, ..item("VIEW", "CREATE;") },
            Item { id: 6, section: Section::After, needs: vec![5], ..item("RULE", "CREATE OR REPLACE;") },
        ];
        let items: Vec<Item> = items
            .into_iter()
            .map(|item| if item.id == 6 { Item { tag: "v _RETURN".into(), ..item } } else { item })
            .collect();
        let ids = |options: &DumpOptions| {
            let schema = made(&items, options);
            schema.before.iter().chain(&schema.after).map(|entry| entry.id).collect::<Vec<_>>()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&DumpOptions { exclude_types: names(&["tables"]), ..DumpOptions::default() }), [5, 6]);
        assert_eq!(
            ids(&DumpOptions { exclude_types: names(&["rules"]), ..DumpOptions::default() }),
            [1, 3, 4, 5, 6, 2]
        );
        assert_eq!(
            ids(&DumpOptions { include_types: names(&["tables"]), ..DumpOptions::default() }),
            [1, 4, 2]
        );
        assert_eq!(ids(&DumpOptions { include_types: names(&["comments"]), ..DumpOptions::default() }), [3]);
        assert_eq!(ids(&DumpOptions { no_privileges: true, ..DumpOptions::default() }), [1, 3, 4, 5, 6]);
        let labels =
            made(&items, &DumpOptions { excluded_security_labels: names(&["a"]), ..DumpOptions::default() });
        assert_eq!(labels.before[2].sql, "SECURITY LABEL FOR b ON TABLE t IS 'y';\n");
    }
}
