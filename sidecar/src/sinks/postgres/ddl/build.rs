//! Statements made from what an event says of its objects, for commands whose own text is not known (plain install: DDL inside DO
//! blocks and functions), may not be repeated whole (filters), or cannot be (tables made from a query).

use serde_json::Value as Json;

use super::super::statement::ident;
use super::difference::{self, Table};
use crate::error::Error;
use crate::event::{Ddl, DdlObject};

/// Statements that bring about what the event says, when it says enough. `before` finds a table as it was before the event.
pub(super) fn statements<'a>(ddl: &Ddl, before: impl Fn(u32) -> Option<&'a Table>) -> Option<Vec<String>> {
    let made = if ddl.command_tag.starts_with("DROP ") {
        drops(ddl)
    } else if ["CREATE ", "SELECT INTO", "COMMENT"].iter().any(|tag| ddl.command_tag.starts_with(tag)) {
        definitions(ddl)
    } else {
        altered(ddl, before)
    };
    made.filter(|statements| !statements.is_empty())
}

/// The command changed something that the event does not describe.
pub(super) fn unrepeatable(ddl: &Ddl) -> Error {
    let objects: Vec<&str> = ddl.objects.iter().take(3).map(|object| object.identity.as_str()).collect();
    let why = ddl.error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
    Error::fatal(format!(
        "{} of {} at {} cannot be repeated at the target: its text is not known{why}",
        ddl.command_tag,
        objects.join(", "),
        ddl.lsn
    ))
    .hint(
        "DDL inside functions and DO blocks is captured exactly where the pgstream extension is installed; run the same change at the \
         target by hand and start once with ddl_conflict \"skip-if-equal\"",
    )
}

/// One DROP of what the command named.
fn drops(ddl: &Ddl) -> Option<Vec<String>> {
    if ddl.command_tag == "DROP OWNED" {
        return None;
    }
    let named: Vec<&DdlObject> =
        ddl.objects.iter().filter(|object| object.dropped && object.original).collect();
    if named.is_empty() {
        return None;
    }
    let identities: Vec<&str> = named.iter().map(|object| object.identity.as_str()).collect();
    let cascade =
        if ddl.objects.iter().any(|object| falls_by_cascade(object, &identities)) { " cascade" } else { "" };
    Some(vec![format!("{} {}{cascade}", ddl.command_tag.to_lowercase(), identities.join(", "))])
}

/// Whether this object can only have been dropped because CASCADE was given: what is part of a named object goes with it anyway.
fn falls_by_cascade(object: &DdlObject, named: &[&str]) -> bool {
    let parts =
        ["index", "sequence", "trigger", "rule", "policy", "type", "table column", "statistics object"];
    if !object.dropped || object.original || parts.contains(&object.kind.as_str()) {
        return false;
    }
    match object.identity.rsplit_once(" on ") {
        Some((_, table)) if object.kind == "table constraint" => !named.contains(&table),
        _ => true,
    }
}

/// The definitions of what the command made, in the server's order.
fn definitions(ddl: &Ddl) -> Option<Vec<String>> {
    let mut statements: Vec<String> = Vec::new();
    for object in ddl.objects.iter().filter(|object| !object.dropped) {
        match (&object.definition, object.kind.as_str()) {
            // The server names an object once for each thing it did to it.
            (Some(definition), _) if statements.contains(definition) => {}
            (Some(definition), _) => statements.push(definition.clone()),
            (None, "table") => statements.push(create_table(described(ddl, object.oid)?)?),
            (None, "schema") => statements.push(format!("create schema {}", object.identity)),
            // Indexes and sequences without a definition are part of their table.
            (None, "index" | "sequence") => {}
            (None, _) => return None,
        }
    }
    Some(statements)
}

/// CREATE TABLE from the description: columns and primary key.
fn create_table(table: &Json) -> Option<String> {
    if table.get("kind").and_then(Json::as_str) != Some("r") {
        return None;
    }
    let table = Table::read(table)?;
    let mut parts: Vec<String> = table.columns.iter().map(difference::Column::definition).collect();
    if !table.primary_key.is_empty() {
        let key: Vec<String> = table.primary_key.iter().map(|name| ident(name)).collect();
        parts.push(format!("primary key ({})", key.join(", ")));
    }
    Some(format!("create table {} ({})", table.name(), parts.join(", ")))
}

fn altered<'a>(ddl: &Ddl, before: impl Fn(u32) -> Option<&'a Table>) -> Option<Vec<String>> {
    let mut statements = Vec::new();
    for table in ddl.tables.as_array()? {
        let after = Table::read(table)?;
        statements.extend(difference::statements(before(after.oid)?, &after)?);
    }
    Some(statements)
}

/// The description of a table of the event.
fn described(ddl: &Ddl, oid: u32) -> Option<&Json> {
    let same = |table: &&Json| difference::oid(table) == Some(oid);
    ddl.tables.as_array()?.iter().find(same)
}

/// Only the tables that a query made, without anything that came after.
pub(super) fn tables_made(ddl: &Ddl) -> Option<Vec<String>> {
    let made: Option<Vec<String>> = ddl
        .objects
        .iter()
        .filter(|object| !object.dropped && object.kind == "table")
        .map(|object| match &object.definition {
            Some(definition) => Some(definition.clone()),
            None => create_table(described(ddl, object.oid)?),
        })
        .collect();
    made.filter(|statements| !statements.is_empty())
}
