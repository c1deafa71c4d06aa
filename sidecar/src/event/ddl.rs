//! A schema change, made from one row of `pgstream.ddl_log`.

use serde_json::Value as Json;

use super::Lsn;

/// One DDL command of the source, with all that is needed to repeat it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Ddl {
    /// Where it stands in the log.
    pub lsn: Lsn,
    /// `ddl_log.id`.
    pub id: i64,
    /// `CREATE TABLE`, `ALTER TABLE`, ...
    pub command_tag: String,
    /// The text. See `exact`.
    pub sql: Option<String>,
    /// `sql` is the text of this one statement. Otherwise it is the whole string the client sent, which may hold more, or only call
    /// a function that issued the command.
    pub exact: bool,
    /// How many DDL commands enclose this one: a nested one (`depth > 0`) comes *before* its parent in the stream.
    pub depth: i32,
    /// The role it ran as.
    pub role: String,
    /// `search_path` it ran under.
    pub search_path: String,
    /// Settings that change the meaning of the text (`DateStyle`, ...), name and value.
    pub settings: Vec<(String, String)>,
    /// What it touched, in the server's order.
    pub objects: Vec<DdlObject>,
    /// The touched tables as they are after it: see `docs/event-format.md` for the shape.
    pub tables: Json,
    /// It rewrote a table.
    pub rewrite: bool,
    /// Why part of the metadata is missing, if it is.
    pub error: Option<String>,
    /// The table filter removed some of `objects`: `sql` says more than may be repeated.
    pub partial: bool,
}

/// An object touched by a DDL command.
#[derive(Debug, Clone, PartialEq)]
pub struct DdlObject {
    /// `table`, `index`, `type`, `schema`, `table column`, ... as the server names object types.
    pub kind: String,
    /// Quoted, qualified name: `public."T 1"`.
    pub identity: String,
    /// Its schema; empty for objects outside of schemas.
    pub schema: String,
    /// Its name, unquoted, when it has one.
    pub name: Option<String>,
    /// Its oid at the source.
    pub oid: u32,
    /// Stable id of a table.
    pub pgstream_id: Option<String>,
    /// The command dropped it.
    pub dropped: bool,
    /// The command named it (a dropped object may also go by CASCADE or with its table).
    pub original: bool,
    /// A statement that makes it as it is after the command, when known.
    pub definition: Option<String>,
    /// Its owner, when known.
    pub owner: Option<String>,
}

impl Ddl {
    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        let objects: usize = self
            .objects
            .iter()
            .map(|object| object.identity.len() + object.definition.as_ref().map_or(0, String::len) + 128)
            .sum();
        self.sql.as_ref().map_or(0, String::len) + objects + 256 * self.tables.as_array().map_or(0, Vec::len)
    }

    /// The tables it touched, by oid.
    pub fn table_oids(&self) -> impl Iterator<Item = u32> + '_ {
        let described = self.tables.as_array().into_iter().flatten();
        let described = described.filter_map(|table| table.get("oid")?.as_str()?.parse().ok());
        let objects =
            self.objects.iter().filter(|object| object.kind.starts_with("table")).map(|object| object.oid);
        described.chain(objects)
    }

    /// The schema of the first object, as the event format's `schema_name`.
    pub fn schema_name(&self) -> &str {
        self.objects
            .iter()
            .map(|object| object.schema.as_str())
            .find(|schema| !schema.is_empty())
            .unwrap_or("")
    }
}
