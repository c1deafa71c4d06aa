//! Versions of schemas as they come: what a row of `pgstream.schema_log` says of tables and their columns.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::field::Field;
use crate::error::{Error, Result};
use crate::event::{Change, RowChange};
use crate::pipeline::capture::{is_schema_log, Row};
use crate::pipeline::inject::oid;

/// A version of a schema.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) id: String,
    number: u64,
    /// The schema's name.
    pub(super) schema: String,
    created_at: String,
    text: String,
    /// The schema is gone.
    pub(super) dropped: bool,
    pub(super) tables: Vec<Table>,
}

/// A table of it.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    /// `pg_class.oid` at the source.
    #[serde(deserialize_with = "oid")]
    pub(super) oid: u32,
    pub(super) pgstream_id: String,
    #[serde(default)]
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    pgstream_id: String,
    #[serde(rename = "type")]
    type_name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Schema {
    #[serde(default)]
    tables: Option<Vec<Table>>,
    #[serde(default)]
    dropped: bool,
}

impl Table {
    /// Columns by id, where their type's name says what they are. That of a domain does not: its rows do.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.columns
            .iter()
            .filter_map(|column| Some((column.pgstream_id.as_str(), Field::named(&column.type_name)?)))
    }
}

impl Version {
    /// The version that a change of `pgstream.schema_log` brings: it is inserted once. `None` for any other change.
    ///
    /// # Errors
    /// Fatal when it cannot be understood.
    pub(super) fn of(change: &Change) -> Result<Option<Self>> {
        if !is_schema_log(&change.relation) {
            return Ok(None);
        }
        let RowChange::Insert { new } = &change.row else { return Ok(None) };
        let row = Row { relation: &change.relation, tuple: new };
        let text = |name: &str| row.text(name).unwrap_or_default().to_owned();
        let text_of_schema = text("schema");
        let unreadable = |error| {
            Error::fatal(format!("pgstream.schema_log.schema is not what this version writes: {error}"))
                .hint("upgrade the SQL side: pgstream init")
        };
        let schema: Schema = serde_json::from_str(&text_of_schema).map_err(unreadable)?;
        Ok(Some(Self {
            id: text("id"),
            number: text("version").parse().unwrap_or(0),
            schema: text("schema_name"),
            created_at: text("created_at"),
            text: text_of_schema,
            dropped: schema.dropped,
            tables: schema.tables.unwrap_or_default(),
        }))
    }

    /// As the index of versions has it.
    pub(super) fn document(&self) -> Json {
        let (time, fraction) = self.created_at.split_once('.').unwrap_or((&self.created_at, ""));
        serde_json::json!({
            "id": self.id,
            "version": self.number,
            "schema_name": self.schema,
            "created_at": format!("{time}.{fraction:0<6}"),
            "schema": serde_json::from_str(&self.text).map_or(self.text.clone(), |schema: Json| ordered(schema).to_string()),
            "acked": false,
        })
    }
}

/// Keys in the order that readers of that index know; those they do not know behind.
fn ordered(schema: Json) -> Json {
    const TABLE: [&str; 5] = ["oid", "name", "columns", "primary_key_columns", "pgstream_id"];
    const COLUMN: [&str; 8] =
        ["name", "type", "default", "nullable", "generated", "unique", "metadata", "pgstream_id"];
    let each = |json: &mut Json, change: &dyn Fn(Json) -> Json| {
        for item in json.as_array_mut().into_iter().flatten() {
            *item = change(item.take());
        }
    };
    let column = |column: Json| by_keys(column, &COLUMN, |name, value| name != "default" || !value.is_null());
    let table = |table: Json| {
        let mut table = by_keys(table, &TABLE, |_, _| true);
        each(&mut table["columns"], &column);
        table
    };
    let mut schema = schema;
    if let Some(tables) = schema.get_mut("tables") {
        each(tables, &table);
    }
    schema
}

fn by_keys(json: Json, keys: &[&str], keep: impl Fn(&str, &Json) -> bool) -> Json {
    let Json::Object(mut object) = json else { return json };
    let mut ordered = Map::new();
    for key in keys {
        if let Some(value) = object.remove(*key).filter(|value| keep(key, value)) {
            ordered.insert((*key).to_owned(), value);
        }
    }
    ordered.extend(object);
    Json::Object(ordered)
}
