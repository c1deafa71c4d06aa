//! One index for each schema, behind an alias of the schema's name.
//!
//! ```text
//! public ──alias──> public-1        made with its first table; fields are added as columns are
//!             └───> public-2        after a type change that public-1 cannot take: filled from it, then the alias is moved
//! ```
//!
//! Why readers always find everything: they use the alias, which moves in one step, to an index that has all documents.

use std::collections::HashMap;
use std::sync::Arc;

use opensearch::http::Method;
use serde_json::{json, Map, Value as Json};

use super::client::Client;
use super::field::{Field, LONGEST_KEYWORD};
use super::log::LOG;
use super::notes::COPIES;
use crate::config::plan::SearchEngine;
use crate::error::{Error, Result};
use crate::percent::encode;

/// Fields of an index that is made.
const MOST_FIELDS: u64 = 2000;
/// In characters, when a text needs more than one byte for one.
const SHORTER_KEYWORD: usize = LONGEST_KEYWORD / 3;

/// The indices that are known.
pub(super) struct Indices {
    client: Client,
    engine: SearchEngine,
    /// The engine has fields for vectors.
    vectors: bool,
    known: HashMap<Arc<str>, Index>,
    names: HashMap<Box<str>, Arc<str>>,
}

/// An index.
#[derive(Debug, Default)]
struct Index {
    /// Its name behind the alias.
    name: String,
    /// As the engine has them.
    properties: Map<String, Json>,
    most_fields: u64,
}

impl Indices {
    pub(super) fn new(client: Client, engine: SearchEngine) -> Self {
        Self { client, engine, vectors: true, known: HashMap::new(), names: HashMap::new() }
    }

    /// The alias of a schema.
    pub(super) fn alias(&mut self, schema: &str) -> Arc<str> {
        if let Some(alias) = self.names.get(schema) {
            return Arc::clone(alias);
        }
        let alias: Arc<str> = name(schema).into();
        self.names.insert(schema.into(), Arc::clone(&alias));
        alias
    }

    /// Whether an index is there; what it has is known afterwards.
    pub(super) async fn find(&mut self, alias: &Arc<str>) -> Result<bool> {
        if self.known.contains_key(alias) {
            return Ok(true);
        }
        let Some(answer) = self.client.ask(Method::Get, &format!("{}/_mapping", encode(alias)), None).await?
        else {
            return Ok(false);
        };
        let Some((name, index)) = answer.as_object().and_then(|indices| indices.iter().next()) else {
            return Ok(false);
        };
        let properties = index["mappings"]["properties"].as_object().cloned().unwrap_or_default();
        let index = Index { name: name.clone(), properties, most_fields: MOST_FIELDS };
        self.known.insert(Arc::clone(alias), index);
        Ok(true)
    }

    /// Makes the index if it is not there.
    pub(super) async fn ensure(&mut self, alias: &Arc<str>) -> Result<()> {
        if self.find(alias).await? {
            return Ok(());
        }
        let name = format!("{alias}-1");
        let mut properties = Map::new();
        properties.insert("_table".into(), json!({ "type": "keyword" }));
        self.create(&name, &properties, MOST_FIELDS, Some(alias)).await?;
        let index = Index { name, properties, most_fields: MOST_FIELDS };
        self.known.insert(Arc::clone(alias), index);
        Ok(())
    }

    async fn create(
        &mut self,
        name: &str,
        properties: &Map<String, Json>,
        most_fields: u64,
        alias: Option<&str>,
    ) -> Result<()> {
        loop {
            let mut settings = json!({ "number_of_shards": 1, "number_of_replicas": 1,
                "index.mapping.total_fields.limit": most_fields });
            if self.engine == SearchEngine::OpenSearch && self.vectors {
                settings["index.knn"] = true.into();
                settings["index.knn.algo_param.ef_search"] = 100.into();
            }
            let mut body = json!({ "settings": settings,
                "mappings": { "dynamic": "strict", "properties": properties } });
            if let Some(alias) = alias {
                body["aliases"] = json!({ alias: {} });
            }
            let made = self.client.send_json(Method::Put, &encode(name), &body).await?;
            let text = String::from_utf8_lossy(&made.body);
            match made.status {
                200..300 => {
                    tracing::info!(index = name, "index made");
                    return Ok(());
                }
                // Of an earlier start of ours that got no further.
                400 if text.contains("resource_already_exists_exception") => {
                    return match alias {
                        Some(alias) => self.point(alias, None, name).await,
                        None => Ok(()),
                    };
                }
                400 if self.vectors && text.contains("knn") => {
                    self.vectors = false;
                    tracing::warn!("the engine has no k-NN plugin: vectors are stored as plain numbers");
                }
                _ => return Err(made.refusal().context(format_args!("the index {name} cannot be made"))),
            }
        }
    }

    /// Moves an alias in one step.
    async fn point(&self, alias: &str, from: Option<&str>, to: &str) -> Result<()> {
        let mut actions = vec![json!({ "add": { "index": to, "alias": alias } })];
        if let Some(from) = from {
            actions.push(json!({ "remove": { "index": from, "alias": alias } }));
        }
        self.client.ask(Method::Post, "_aliases", Some(&json!({ "actions": actions }))).await?;
        Ok(())
    }

    /// Gives the index the fields that it lacks; those it has with another type are answered.
    pub(super) async fn add(
        &mut self,
        alias: &Arc<str>,
        fields: &[(&str, Field)],
    ) -> Result<Vec<(String, Field)>> {
        let (mut new, mut other) = (Map::new(), Vec::new());
        {
            let Some(index) = self.known.get(alias) else { return Ok(other) };
            for (name, field) in fields {
                let wanted = field.mapping(self.engine, self.vectors);
                match index.properties.get(*name) {
                    None => {
                        new.insert((*name).to_owned(), wanted);
                    }
                    Some(there) if is_same(there, &wanted) => {}
                    Some(_) => other.push(((*name).to_owned(), *field)),
                }
            }
        }
        if !new.is_empty() {
            self.put_fields(alias, new).await?;
        }
        Ok(other)
    }

    async fn put_fields(&mut self, alias: &Arc<str>, mut new: Map<String, Json>) -> Result<()> {
        loop {
            let Some(index) = self.known.get_mut(alias) else { return Ok(()) };
            let body = json!({ "properties": new });
            let put = self
                .client
                .send_json(Method::Put, &format!("{}/_mapping", encode(&index.name)), &body)
                .await?;
            let text = String::from_utf8_lossy(&put.body);
            match put.status {
                200..300 => {
                    index.properties.extend(new);
                    return Ok(());
                }
                400 if text.contains("Limit of total fields") => {
                    index.most_fields *= 2;
                    let limit = json!({ "index.mapping.total_fields.limit": index.most_fields });
                    self.client
                        .ask(Method::Put, &format!("{}/_settings", encode(&index.name)), Some(&limit))
                        .await?;
                    tracing::info!(index = index.name, limit = index.most_fields, "more fields allowed");
                }
                400 if self.vectors && (text.contains("knn_vector") || text.contains("dense_vector")) => {
                    self.vectors = false;
                    tracing::warn!("{}: vectors are stored as plain numbers", put.refusal());
                    for property in new.values_mut() {
                        if matches!(property["type"].as_str(), Some("knn_vector" | "dense_vector")) {
                            *property = json!({ "type": "float" });
                        }
                    }
                }
                404 => {
                    self.known.remove(alias);
                    return Err(Error::transient(format!("the index {alias} is gone")));
                }
                _ => {
                    let what = format!("fields cannot be added to the index {}", index.name);
                    return Err(put.refusal().context(what));
                }
            }
        }
    }

    /// Texts of a field have characters of several bytes, and too many of them for a keyword.
    pub(super) async fn shorten(&mut self, alias: &Arc<str>, name: &str) -> Result<()> {
        let Some(index) = self.known.get(alias) else { return Ok(()) };
        let Some(mut property) = index.properties.get(name).cloned() else { return Ok(()) };
        if property["ignore_above"] == SHORTER_KEYWORD {
            return Ok(());
        }
        property["ignore_above"] = SHORTER_KEYWORD.into();
        let mut changed = Map::new();
        changed.insert(name.to_owned(), property);
        self.put_fields(alias, changed).await
    }

    /// The name of the index that takes over from the one behind an alias, with those fields changed. It is made, and nothing points to it.
    pub(super) async fn successor(
        &mut self,
        alias: &Arc<str>,
        changed: &[(String, Field)],
    ) -> Result<(String, String)> {
        let (old, mut properties, most) = match self.known.get(alias) {
            Some(index) => (index.name.clone(), index.properties.clone(), index.most_fields),
            None => return Err(Error::transient(format!("the index {alias} is gone"))),
        };
        for (name, field) in changed {
            properties.insert(name.clone(), field.mapping(self.engine, self.vectors));
        }
        let number = old.rsplit_once('-').and_then(|(_, number)| number.parse::<u64>().ok()).unwrap_or(1);
        let new = format!("{alias}-{}", number + 1);
        // What an earlier try left there may have other fields.
        self.client.ask(Method::Delete, &encode(&new), None).await?;
        self.create(&new, &properties, most, None).await?;
        Ok((old, new))
    }

    /// Points the alias to the successor, and removes what was there.
    pub(super) async fn succeed(&mut self, alias: &Arc<str>, old: &str, new: &str) -> Result<()> {
        self.point(alias, Some(old), new).await?;
        self.known.remove(alias);
        self.find(alias).await?;
        self.client.ask(Method::Delete, &encode(old), None).await?;
        tracing::info!(index = new, instead_of = old, "index made anew for other types");
        Ok(())
    }

    /// Removes an index.
    pub(super) async fn remove(&mut self, alias: &Arc<str>) -> Result<()> {
        if self.find(alias).await? {
            if let Some(index) = self.known.remove(alias) {
                self.client.ask(Method::Delete, &encode(&index.name), None).await?;
                tracing::info!(index = index.name, "index removed");
            }
        }
        Ok(())
    }
}

/// Whether a field can stay as it is.
fn is_same(there: &Json, wanted: &Json) -> bool {
    ["type", "dims", "dimension", "format"].iter().all(|key| there[key] == wanted[key])
}

/// A schema's name as the engines allow one, and no two alike: what is not allowed becomes `~` and its number.
fn name(schema: &str) -> String {
    const RESERVED: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':', '~'];
    let mut name = String::new();
    let number =
        schema.rsplit_once('-').is_some_and(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    for (at, letter) in schema.char_indices() {
        let first = at == 0 && matches!(letter, '_' | '-' | '+' | '.');
        // `a-1` is the index of the schema `a`.
        let last = number && letter == '-' && schema[at + 1..].bytes().all(|byte| byte.is_ascii_digit());
        let changes = letter.to_lowercase().ne(std::iter::once(letter));
        if first || last || changes || letter.is_control() || RESERVED.contains(&letter) {
            name.push_str(&format!("~{:x}~", u32::from(letter)));
        } else {
            name.push(letter);
        }
    }
    // These are ours.
    if [LOG, COPIES].contains(&name.as_str()) {
        name.push('~');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_allowed_and_differ() {
        let cases = [
            ("public", "public"),
            ("my_schema", "my_schema"),
            ("S 2", "~53~~20~2"),
            ("s 2", "s~20~2"),
            ("_a", "~5f~a"),
            ("a-1", "a~2d~1"),
            ("a-b", "a-b"),
            ("ä", "ä"),
        ];
        for (schema, expected) in cases {
            assert_eq!(name(schema), expected);
        }
    }
}
