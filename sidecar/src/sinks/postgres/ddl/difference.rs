//! From one state of a table to the next: ALTER TABLE statements made from two descriptions. Columns are the same when their attribute numbers are; the
//! target's own columns, whose numbers differ, are matched by name.

use serde_json::Value as Json;

use super::super::statement::{ident, literal};

/// A table as `ddl_log.tables` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Column {
    /// `None` when it was read at the target.
    pub(super) attnum: Option<i64>,
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) nullable: bool,
    pub(super) default: Option<String>,
    pub(super) generated: bool,
    /// `ALWAYS`, `BY DEFAULT`.
    pub(super) identity: Option<String>,
    pub(super) stored: Option<String>,
}

/// The oid in a description, written as number or text.
pub(super) fn oid(table: &Json) -> Option<u32> {
    match table.get("oid")? {
        Json::String(text) => text.parse().ok(),
        number => u32::try_from(number.as_u64()?).ok(),
    }
}

impl Table {
    /// Reads a description.
    pub(super) fn read(json: &Json) -> Option<Self> {
        let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        let flag = |json: &Json, key: &str| json.get(key).and_then(Json::as_bool).unwrap_or(false);
        let column = |json: &Json| {
            Some(Column {
                attnum: json.get("attnum").and_then(Json::as_i64),
                name: text(json, "name")?,
                type_name: text(json, "type")?,
                nullable: flag(json, "nullable"),
                default: text(json, "default"),
                generated: flag(json, "generated"),
                identity: text(json, "identity"),
                stored: text(json, "stored"),
            })
        };
        let key = json.get("primary_key_columns").and_then(Json::as_array);
        Some(Self {
            oid: oid(json)?,
            schema: text(json, "schema")?,
            table: text(json, "name")?,
            columns: json.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?,
            primary_key: key.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect(),
        })
    }

    /// Quoted and qualified.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.table))
    }

    /// Whether rows of both look the same: names, types and nullability of the columns.
    pub(super) fn same_rows(&self, other: &Self) -> bool {
        let shape = |table: &Self| -> Vec<(String, String, bool)> {
            let one = |c: &Column| (c.name.clone(), c.type_name.clone(), c.nullable);
            table.columns.iter().map(one).collect()
        };
        shape(self) == shape(other)
    }
}

impl Column {
    /// As it stands in CREATE TABLE and ADD COLUMN.
    pub(super) fn definition(&self) -> String {
        let mut text = format!("{} {}", ident(&self.name), self.type_name);
        match (&self.identity, &self.default) {
            (Some(kind), _) => text.push_str(&format!(" generated {} as identity", kind.to_lowercase())),
            (None, Some(expression)) if self.generated => {
                text.push_str(&format!(" generated always as ({expression}) stored"));
            }
            (None, Some(expression)) => text.push_str(&format!(" default {expression}")),
            (None, None) => {}
        }
        if !self.nullable {
            text.push_str(" not null");
        }
        text
    }
}

/// The statements that lead from `before` to `after`; `None` when that cannot be told.
pub(super) fn statements(before: &Table, after: &Table) -> Option<Vec<String>> {
    let mut made = Vec::new();
    if before.schema != after.schema {
        made.push(format!("alter table {} set schema {}", before.name(), ident(&after.schema)));
    }
    if before.table != after.table {
        let moved = Table { schema: after.schema.clone(), ..before.clone() };
        made.push(format!("alter table {} rename to {}", moved.name(), ident(&after.table)));
    }
    let pairs = pairs(before, after)?;
    let table = after.name();
    for old in &before.columns {
        if !pairs.iter().any(|(known, _)| known.is_some_and(|known| known.name == old.name)) {
            made.push(format!("alter table {table} drop column {}", ident(&old.name)));
        }
    }
    for (old, new) in pairs {
        match old {
            None => add(&table, new, &mut made),
            Some(old) => change(&table, old, new, &mut made)?,
        }
    }
    if before.primary_key != after.primary_key && before.primary_key.is_empty() {
        let key: Vec<String> = after.primary_key.iter().map(|name| ident(name)).collect();
        made.push(format!("alter table {table} add primary key ({})", key.join(", ")));
    }
    Some(made)
}

/// Each column of `after` with what it was before.
fn pairs<'a>(before: &'a Table, after: &'a Table) -> Option<Vec<(Option<&'a Column>, &'a Column)>> {
    let numbered = before.columns.iter().all(|column| column.attnum.is_some());
    let was = |new: &Column| {
        before.columns.iter().find(|old| match numbered {
            true => old.attnum == new.attnum,
            false => old.name == new.name,
        })
    };
    let mut pairs: Vec<_> = after.columns.iter().map(|new| (was(new), new)).collect();
    if numbered {
        return Some(pairs);
    }
    // Matched by name, a renamed column looks like one dropped and one added: to take it for that would lose its values.
    let gone: Vec<&Column> =
        before.columns.iter().filter(|old| !after.columns.iter().any(|new| new.name == old.name)).collect();
    let come = pairs.iter().filter(|(old, _)| old.is_none()).count();
    match (gone.as_slice(), come) {
        ([], _) | (_, 0) => Some(pairs),
        ([old], 1) if before.columns.len() == after.columns.len() => {
            let at = pairs.iter().position(|(known, _)| known.is_none())?;
            if before.columns.get(at)?.name != old.name {
                return None;
            }
            pairs[at].0 = before.columns.get(at);
            Some(pairs)
        }
        _ => None,
    }
}

fn add(table: &str, new: &Column, made: &mut Vec<String>) {
    let name = ident(&new.name);
    match &new.stored {
        None => made.push(format!("alter table {table} add column {}", new.definition())),
        Some(stored) => {
            let value = format!("{}::{}", literal(stored), new.type_name);
            let first = Column { default: Some(value), ..new.clone() };
            made.push(format!("alter table {table} add column {}", first.definition()));
            made.push(match &new.default {
                Some(real) => format!("alter table {table} alter column {name} set default {real}"),
                None => format!("alter table {table} alter column {name} drop default"),
            });
        }
    }
}

fn change(table: &str, old: &Column, new: &Column, made: &mut Vec<String>) -> Option<()> {
    let name = ident(&new.name);
    let mut alter = |what: String| made.push(format!("alter table {table} {what}"));
    if old.name != new.name {
        alter(format!("rename column {} to {name}", ident(&old.name)));
    }
    if old.generated != new.generated {
        if new.generated {
            return None;
        }
        alter(format!("alter column {name} drop expression"));
    }
    if old.type_name != new.type_name {
        if !new.generated && old.default.is_some() {
            alter(format!("alter column {name} drop default"));
        }
        let using = if new.generated { String::new() } else { format!(" using {name}::{}", new.type_name) };
        alter(format!("alter column {name} type {}{using}", new.type_name));
    }
    if !new.generated
        && (old.default != new.default || old.type_name != new.type_name)
        && new.identity.is_none()
    {
        match &new.default {
            Some(default) => alter(format!("alter column {name} set default {default}")),
            None if old.default.is_some() => alter(format!("alter column {name} drop default")),
            None => {}
        }
    }
    if old.nullable != new.nullable {
        alter(format!("alter column {name} {} not null", if new.nullable { "drop" } else { "set" }));
    }
    match (&old.identity, &new.identity) {
        (None, Some(kind)) => {
            alter(format!("alter column {name} add generated {} as identity", kind.to_lowercase()))
        }
        (Some(_), None) => alter(format!("alter column {name} drop identity")),
        (Some(was), Some(kind)) if was != kind => {
            alter(format!("alter column {name} set generated {}", kind.to_lowercase()));
        }
        _ => {}
    }
    Some(())
}
