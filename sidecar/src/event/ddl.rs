//! A schema change, made from one row of `pgstream.ddl_log`.

use serde_json::{json, Value as Json};

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
        let described = self.tables.as_array().into_iter().flatten().filter_map(oid);
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

/// Settings from their JSON object.
pub fn settings(json: &Json) -> Vec<(String, String)> {
    let settings = json.as_object().into_iter().flatten();
    settings.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

impl Ddl {
    /// The content of its message: `docs/event-format.md`.
    pub fn content(&self) -> Json {
        let tables = || self.tables.as_array().into_iter().flatten();
        let object = |object: &DdlObject| {
            let mut json = object.to_json();
            let table = tables().find(|table| oid(table) == Some(object.oid));
            if let (Some(table), "table") = (table, object.kind.as_str()) {
                json["columns"] = table["columns"].clone();
                json["primary_key_columns"] = table["primary_key_columns"].clone();
            }
            json
        };
        let settings: serde_json::Map<_, _> =
            self.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "ddl": self.sql, "exact": self.exact, "schema_name": self.schema_name(), "command_tag": self.command_tag,
            "objects": self.objects.iter().map(object).collect::<Vec<_>>(),
            "id": self.id, "depth": self.depth, "role": self.role, "search_path": self.search_path, "settings": settings,
            "rewrite": self.rewrite, "tables": self.tables,
        })
    }

    /// The command of a message's content. What it lacks is empty.
    pub fn from_content(lsn: Lsn, content: &Json) -> Self {
        let text = |key: &str| content[key].as_str().unwrap_or_default().to_owned();
        let flag = |key: &str| content[key].as_bool().unwrap_or(false);
        Self {
            lsn,
            id: content["id"].as_i64().unwrap_or(0),
            command_tag: text("command_tag"),
            sql: content["ddl"].as_str().map(str::to_owned),
            exact: flag("exact"),
            depth: content["depth"].as_i64().and_then(|depth| depth.try_into().ok()).unwrap_or(0),
            role: text("role"),
            search_path: text("search_path"),
            settings: settings(&content["settings"]),
            objects: content["objects"].as_array().into_iter().flatten().map(DdlObject::of).collect(),
            tables: content["tables"].clone(),
            rewrite: flag("rewrite"),
            error: None,
            partial: false,
        }
    }
}

/// The `oid` of a JSON object, text or number.
fn oid(json: &Json) -> Option<u32> {
    match json.get("oid")? {
        Json::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| u32::try_from(number).ok()),
    }
}

impl DdlObject {
    /// From `ddl_log.objects`, or the content of a message.
    pub fn of(json: &Json) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        let flag = |key: &str| json.get(key).and_then(Json::as_bool).unwrap_or(false);
        Self {
            kind: text("type").unwrap_or_default(),
            identity: text("identity").unwrap_or_default(),
            schema: text("schema").unwrap_or_default(),
            name: text("name"),
            oid: oid(json).unwrap_or(0),
            pgstream_id: text("pgstream_id"),
            dropped: flag("dropped"),
            original: flag("original"),
            definition: text("definition"),
            owner: text("owner"),
        }
    }

    fn to_json(&self) -> Json {
        let mut json = json!({
            "type": self.kind, "identity": self.identity, "schema": self.schema, "oid": self.oid.to_string(),
        });
        for (key, value) in [
            ("pgstream_id", &self.pgstream_id),
            ("name", &self.name),
            ("definition", &self.definition),
            ("owner", &self.owner),
        ] {
            if let Some(value) = value {
                json[key] = json!(value);
            }
        }
        for (key, on) in [("dropped", self.dropped), ("original", self.original)] {
            if on {
                json[key] = json!(true);
            }
        }
        json
    }
}
