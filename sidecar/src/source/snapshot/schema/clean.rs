//! Drops at the target what a copy is going to make: everything in schemas that are copied as a whole, single tables, and what is in no schema.
//!
//! `cascade` also takes what depends on these elsewhere (a view of another schema): that is compared before and after, and said.
//! Extensions stay, with what belongs to them, and so do schemas themselves: they may hold grants, and dropping `public` takes its owner.

use std::collections::{HashMap, HashSet};

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::Schema;
use crate::error::Result;
use crate::postgres::wire::Wire;

/// Kinds that are in no schema: `drop .. if exists`.
const GLOBAL: [&str; 6] =
    ["EVENT TRIGGER", "SERVER", "FOREIGN DATA WRAPPER", "CAST", "TRANSFORM", "ACCESS METHOD"];

/// Drops what `schema` would make. Returns a line for people if more had to go.
pub(super) async fn drop_selected(wire: &mut Wire, schema: &Schema) -> Result<Vec<String>> {
    let failed = |error: crate::error::Error| error.context("drop what is copied at the target");
    let schemas: Vec<String> = schema.schemas.iter().map(|name| escape_literal(name)).collect();
    let statements = statements(schema);
    let before = others(wire, &schemas).await?;
    for statement in &statements {
        wire.simple_query(statement).await.map_err(failed)?;
    }
    if !schemas.is_empty() {
        wire.simple_query(&drop_schemas(&schemas)).await.map_err(failed)?;
    }
    let after = others(wire, &schemas).await?;
    let name = |entry: &super::Entry| format!("{}.{}", entry.schema, entry.tag);
    let meant: HashSet<String> = schema.before.iter().filter(|entry| entry.own).map(name).collect();
    let mut gone: Vec<&String> = before
        .iter()
        .filter(|(id, (name, _))| !after.contains_key(*id) && !meant.contains(name))
        .map(|(_, (_, identity))| identity)
        .collect();
    gone.sort_unstable();
    let names = gone.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    Ok(if gone.is_empty() {
        Vec::new()
    } else {
        vec![format!("dropped at the target because it depended on what is copied: {names}")]
    })
}

/// Single statements: objects in no schema, and tables of schemas that are not copied as a whole.
fn statements(schema: &Schema) -> Vec<String> {
    let mut statements = Vec::new();
    for entry in schema.before.iter().chain(&schema.after).filter(|entry| entry.own) {
        let whole = schema.schemas.contains(&entry.schema);
        if let Some(kind) = GLOBAL.iter().find(|kind| **kind == entry.kind) {
            if let Some(object) =
                entry.drop.trim().trim_end_matches(';').strip_prefix(&format!("DROP {kind} "))
            {
                statements.push(format!("drop {kind} if exists {object} cascade"));
            }
        } else if !whole
            && matches!(entry.kind.as_str(), "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW")
        {
            let (schema, name) = (escape_identifier(&entry.schema), escape_identifier(&entry.tag));
            statements.push(format!("drop {} if exists {schema}.{name} cascade", entry.kind));
        }
    }
    statements
}

/// Drops every object of these schemas that no extension has and that is not part of another one.
fn drop_schemas(schemas: &[String]) -> String {
    let list = schemas.join(", ");
    // One after the other, as each takes what depends on it along.
    let body = format!(
        "declare statement text;
        begin
            loop
                select pg_catalog.format('drop %s %s cascade', case i.type when 'composite type' then 'type' else i.type end, i.identity)
                    into statement
                    from pg_catalog.pg_depend d
                        join pg_catalog.pg_namespace n on n.oid = d.refobjid and n.nspname in ({list})
                        cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, 0) i
                    where d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                        and d.classid not in ('pg_catalog.pg_extension'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass,
                            coalesce(pg_catalog.to_regclass('pg_catalog.pg_publication_namespace'), 0::pg_catalog.oid))
                        and not exists (select from pg_catalog.pg_depend i
                            where i.classid = d.classid and i.objid = d.objid and i.objsubid = 0 and i.deptype in ('e', 'i'))
                    limit 1;
                exit when statement is null;
                execute statement;
            end loop;
        end"
    );
    format!("do {}", escape_literal(&body))
}

/// Relations, functions and foreign keys outside of these schemas, by catalogue and oid: `schema.name` and what people call it.
async fn others(wire: &mut Wire, schemas: &[String]) -> Result<HashMap<String, (String, String)>> {
    let list = if schemas.is_empty() { "''".to_owned() } else { schemas.join(", ") };
    let query = format!(
        "select o.classid || '/' || o.objid, coalesce(i.schema || '.' || i.name, ''), i.type || ' ' || i.identity
        from (select tableoid as classid, oid as objid, relnamespace as namespace from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            union all select tableoid, oid, pronamespace from pg_catalog.pg_proc
            union all select tableoid, oid, connamespace from pg_catalog.pg_constraint where contype = 'f') o
            join pg_catalog.pg_namespace n on n.oid = o.namespace
            cross join lateral pg_catalog.pg_identify_object(o.classid, o.objid, 0) i
        where o.objid >= 16384 and n.nspname not in ({list}) and n.nspname not like 'pg\\_%'"
    );
    let rows = wire.simple_query(&query).await?;
    let row = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        Some((values.next()??, (values.next()??, values.next()??)))
    };
    Ok(rows.into_iter().filter_map(row).collect())
}
