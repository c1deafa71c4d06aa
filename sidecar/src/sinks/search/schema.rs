//! What a new version of a schema does to its index.
//!
//! ```text
//! version of B ──> index, alias, fields of B;  documents of a table that came from A are copied over, with their versions
//!                  its document in the index `pgstream`
//! commit       ──> documents of tables that A or B no longer has are removed
//! ```
//!
//! A version says all that a schema has. So what is to be removed is told by the index and the version alone, not by what was before: a version that
//! comes again after a crash does it again, and never to documents that are newer than itself. It is done at the end of the transaction, since a table
//! may be on its way to another schema.

use std::collections::HashSet;
use std::sync::Arc;

use opensearch::http::Method;
use serde_json::{json, Value as Json};

use super::catalog::Version;
use super::field::{Field, Kind};
use super::pages::Pages;
use super::pending::{Op, What};
use super::{Place, Search};
use crate::error::Result;
use crate::percent::encode;

/// Tables of an index that are asked for at once.
const MOST_TABLES: u32 = 10_000;

impl Search {
    /// Follows a schema to a version.
    pub(super) async fn schema(&mut self, version: &Version) -> Result<()> {
        self.flush().await?;
        let index = self.indices.alias(&version.schema);
        if version.dropped {
            self.indices.remove(&index).await?;
            self.places.retain(|_, place| place.index != index);
            return self.forget_log(&version.schema).await;
        }
        self.indices.ensure(&index).await?;
        let fields: Vec<_> = version.tables.iter().flat_map(|table| table.fields()).collect();
        let other = self.indices.add(&index, &fields).await?;
        if !other.is_empty() {
            self.anew(&index, &other).await?;
            let is_of = |table: &str| {
                other.iter().any(|(field, _)| field.rsplit_once('-').is_some_and(|(of, _)| of == table))
            };
            let changed = version.tables.iter().filter(|table| is_of(&table.pgstream_id));
            self.rewritten.extend(changed.map(|table| table.oid));
        }
        for table in &version.tables {
            let place = Place { index: Arc::clone(&index), table: table.pgstream_id.clone() };
            let before = self.places.insert(table.oid, place.clone());
            if let Some(before) = before.filter(|before| before.index != index && before.table == place.table)
            {
                self.carry_over(&before, &place).await?;
            }
            // Rows that came before anything was known of their table.
            if self.nameless.remove(&table.oid) {
                self.rewritten.push(table.oid);
            }
        }
        self.log(version).await?;
        let tables = version.tables.iter().map(|table| table.pgstream_id.clone()).collect();
        self.left.insert(index, tables);
        Ok(())
    }

    /// A transaction has ended: what it left behind goes.
    pub(super) async fn ended(&mut self) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        for (index, tables) in std::mem::take(&mut self.left) {
            let gone: Vec<String> = self
                .stored_tables(&index)
                .await?
                .into_iter()
                .filter(|table| !tables.contains(table))
                .collect();
            if !gone.is_empty() {
                let version = self.version;
                self.remove(&index, &gone, version, |there| there <= version).await?;
            }
        }
        Ok(())
    }

    /// The tables that an index has documents of.
    async fn stored_tables(&self, index: &Arc<str>) -> Result<HashSet<String>> {
        self.client.ask(Method::Post, &format!("{}/_refresh", encode(index)), None).await?;
        let query = json!({ "size": 0, "aggs": { "tables": { "terms": { "field": "_table", "size": MOST_TABLES } } } });
        let answer =
            self.client.ask(Method::Post, &format!("{}/_search", encode(index)), Some(&query)).await?;
        let answer = answer.unwrap_or_default();
        let buckets = answer["aggregations"]["tables"]["buckets"].as_array();
        Ok(buckets
            .into_iter()
            .flatten()
            .filter_map(|bucket| Some(bucket["key"].as_str()?.to_owned()))
            .collect())
    }

    /// Copies the documents of a table that has moved to another schema.
    async fn carry_over(&mut self, from: &Place, to: &Place) -> Result<()> {
        let query = json!({ "term": { "_table": from.table } });
        self.copy(&from.index, query, &to.index, true, |_, value| Some(value)).await
    }

    /// Makes an index anew whose fields have other types now. Values that the new types do not take are left out.
    pub(super) async fn anew(&mut self, alias: &Arc<str>, changed: &[(String, Field)]) -> Result<()> {
        self.flush().await?;
        let (old, new) = self.indices.successor(alias, changed).await?;
        let (from, to): (Arc<str>, Arc<str>) = (old.as_str().into(), new.as_str().into());
        self.copy(&from, json!({ "match_all": {} }), &to, false, |name, value| {
            match changed.iter().find(|(changed, _)| changed == name) {
                Some((_, field)) => fitted(value, *field),
                None => Some(value),
            }
        })
        .await?;
        self.indices.succeed(alias, &old, &new).await?;
        self.shapes.clear();
        Ok(())
    }

    /// Copies documents with their versions, value by value.
    async fn copy(
        &self,
        from: &Arc<str>,
        query: Json,
        to: &Arc<str>,
        to_alias: bool,
        change: impl Fn(&str, Json) -> Option<Json>,
    ) -> Result<()> {
        let mut pages = Pages::find(&self.client, from, query, true).await?;
        while let Some(hits) = pages.next().await? {
            let mut ops = Vec::with_capacity(hits.len());
            for hit in hits {
                let fields: serde_json::Map<String, Json> =
                    hit.source.and_then(|source| serde_json::from_str(source.get()).ok()).unwrap_or_default();
                let fields: serde_json::Map<String, Json> = fields
                    .into_iter()
                    .filter_map(|(name, value)| change(&name, value).map(|value| (name, value)))
                    .collect();
                let mut source = Json::Object(fields).to_string().into_bytes();
                source.pop(); // the closing brace comes when it is sent
                let what = What::Put { source, missing: Vec::new(), from: None };
                ops.push(Op { index: Arc::clone(to), id: hit.id, version: hit.version, what });
            }
            self.bulk.send(ops, to_alias).await?;
        }
        Ok(())
    }
}

/// A value in a field of another type; `None` where it does not fit.
fn fitted(value: Json, field: Field) -> Option<Json> {
    match (field.kind, value) {
        (_, Json::Null) => Some(Json::Null),
        (_, Json::Array(values)) => {
            Some(Json::Array(values.into_iter().filter_map(|value| fitted(value, field)).collect()))
        }
        (Kind::Keyword | Kind::Json, value @ (Json::Number(_) | Json::Bool(_))) => {
            Some(value.to_string().into())
        }
        (Kind::Keyword | Kind::Json, value @ Json::String(_)) => Some(value),
        (Kind::Long, Json::String(text)) => text.parse::<i64>().ok().map(Json::from),
        (Kind::Long, Json::Number(number)) => number.is_i64().then_some(Json::Number(number)),
        (Kind::Double | Kind::Numeric, value @ Json::Number(_)) => Some(value),
        (Kind::Double | Kind::Numeric, Json::String(text)) => {
            text.parse::<f64>().ok().filter(|number| number.is_finite())?;
            serde_json::from_str(&text).ok()
        }
        (_, _) => None,
    }
}
