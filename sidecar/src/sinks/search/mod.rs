//! An OpenSearch or Elasticsearch: one index for each schema, one document for each row.
//!
//! ```text
//! batch ──row──────────────> pending (one operation a document) ──bulk──> the schema's index ──all on disk──> durable
//!       ──schema version───> what is pending first; index, alias, fields; then its own document in the index `pgstream`
//!       ──truncate, drop───> what is pending first; then all documents of the table, by their ids
//! ```
//!
//! Why the index comes to equal the tables, whatever is repeated and whenever we are killed: each operation carries the position of its transaction as
//! the document's version, and does nothing to a document with a higher one. The source sends everything again from where we have
//! said that it is durable, in order, so the last operation of each document always is among what is sent again, and wins. That the engine
//! forgets what it has deleted after a minute does not matter for the same reason. Documents are never deleted by a query: that would
//! give them versions of the engine's own, and a row that is inserted again would lose against those.
//!
//! The operations of a batch are underway while the next one is made, and are waited for before its own go: two operations on one
//! document, which may have the same version, never race.
//!
//! Rows of a copy carry the position from which on the stream brings everything, so that they win against what was there before
//! the copy, and never against a later change. What a copy did not bring, and is older than it, is gone at the source: it is removed.

mod bulk;
mod catalog;
mod client;
mod document;
mod field;
mod index;
mod log;
mod notes;
mod pages;
mod pending;
mod schema;
mod time;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opensearch::http::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::work::Work;
use super::{Batch, Underway};
use crate::config::plan::SearchTarget;
use crate::error::{Error, Result};
use crate::event::{Change, Ddl, Event, Ids, Lsn, Relation, Truncate};
use crate::pipeline::capture::is_ours;
use crate::source::slot::Identity;
use bulk::Bulk;
use catalog::Version;
use client::Client;
use document::Shape;
use index::Indices;
use notes::Notes;
use pages::Pages;
use pending::{Op, Pending, What};

/// Events between two looks at what is underway.
const TOGETHER: usize = 500;

/// A search engine as target.
pub struct Search {
    client: Client,
    indices: Indices,
    bulk: Bulk,
    pending: Pending,
    /// Operations of the batch before.
    flight: Option<Work>,
    /// What sends them; it ends with the sink.
    sending: JoinSet<()>,
    hash: bool,
    /// How rows become documents, by table.
    shapes: HashMap<u32, Known>,
    /// The position of the transaction in hand.
    version: u64,
    /// Where the documents of each table are.
    places: HashMap<u32, Place>,
    /// Tables whose rows came without ids.
    nameless: HashSet<u32>,
    /// Tables to be copied again, since the last call.
    rewritten: Vec<u32>,
    /// Those that are noted at the engine, where somebody asks for them.
    notes: Option<Notes>,
    /// Tables of which something was said.
    warned: HashSet<u32>,
    /// The tables of each schema that the transaction in hand has changed, by its index.
    left: HashMap<Arc<str>, HashSet<String>>,
}

/// A table as rows of the stream describe it, and what follows from that.
struct Known {
    relation: Arc<Relation>,
    ids: Arc<Ids>,
    shape: Option<Arc<Shape>>,
}

/// A table's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    index: Arc<str>,
    /// Its id.
    table: String,
}

/// An answer to `_mget`.
#[derive(Debug, Deserialize)]
struct Found {
    docs: Vec<Document>,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_source")]
    source: Option<Box<RawValue>>,
}

impl Search {
    /// Sees that the engine answers. Nothing is made before the first event.
    ///
    /// # Errors
    /// Transient when it does not answer; fatal for a login or certificate that is refused.
    pub async fn open(target: &SearchTarget) -> Result<Self> {
        let client = Client::new(&target.cluster)?;
        let answer = client.send(Method::Get, "", None).await?;
        if answer.status >= 500 {
            return Err(answer.refusal());
        }
        Ok(Self {
            indices: Indices::new(client.clone(), target.engine),
            bulk: Bulk::new(client.clone(), target.batch, target.parallel, target.backoff),
            client,
            pending: Pending::default(),
            flight: None,
            sending: JoinSet::new(),
            hash: target.hash_ids,
            shapes: HashMap::new(),
            version: 0,
            places: HashMap::new(),
            nameless: HashSet::new(),
            rewritten: Vec::new(),
            notes: None,
            warned: HashSet::new(),
            left: HashMap::new(),
        })
    }

    /// Sends a batch; what is answered completes when the engine has it on disk.
    ///
    /// # Errors
    /// Rejected for a value that the mapping does not take; fatal for missing rights; otherwise transient.
    pub async fn send(&mut self, batch: Batch) -> Result<Option<Underway>> {
        for (number, event) in batch.events.into_iter().enumerate() {
            if number % TOGETHER == 0 {
                // What is underway goes on meanwhile.
                tokio::task::yield_now().await;
            }
            match &event {
                Event::Begin(transaction) => self.version = transaction.commit_lsn.0,
                Event::Change(change) => match Version::of(change)? {
                    Some(version) => self.schema(&version).await?,
                    None if is_ours(&change.relation.schema) => {}
                    None => self.change(change).await?,
                },
                Event::Truncate(truncate) => self.truncate(truncate).await?,
                Event::Ddl(ddl) => self.ddl(ddl),
                Event::Commit(_) => self.ended().await?,
                Event::Message(_) | Event::Keepalive(_) => {}
            }
        }
        self.launch().await?;
        if let Some(notes) = &mut self.notes {
            notes.add(&self.rewritten).await?;
        }
        Ok(self.flight.as_ref().map(Work::underway))
    }

    /// Tables that are still to be copied again since before. From now on those that [`Search::rewritten`] answers are noted at the engine until
    /// they were copied.
    ///
    /// # Errors
    /// As [`Search::send`].
    pub async fn begun(&mut self, source: &Identity) -> Result<Vec<u32>> {
        let notes = Notes::open(self.client.clone(), source).await?;
        Ok(self.notes.insert(notes).tables())
    }

    /// Tables to be copied again, since the last call: their rows have changed, or their documents are gone, and no stream tells.
    pub fn rewritten(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.rewritten)
    }

    /// Those tables were copied whole, at that position: what is older is of rows that are gone.
    ///
    /// # Errors
    /// As [`Search::send`].
    pub async fn copied(&mut self, tables: &HashSet<u32>, at: Lsn) -> Result<()> {
        let places: Vec<Place> = tables.iter().filter_map(|oid| self.places.get(oid).cloned()).collect();
        for Place { index, table } in places {
            let older = |version| version < at.0;
            self.remove(&index, &[table], at.0, older).await?;
        }
        match &mut self.notes {
            Some(notes) => notes.remove(tables).await,
            None => Ok(()),
        }
    }

    async fn change(&mut self, change: &Change) -> Result<()> {
        let Some(shape) = self.shape(&change.relation, change.ids.as_ref()).await? else { return Ok(()) };
        let Some((op, moved)) = shape.operations(&change.row, self.version) else {
            return Err(Error::rejected(format!(
                "{}: a change does not say which row it is of",
                change.relation
            ))
            .hint("its replica identity has to hold what identifies a row: alter table .. replica identity default or full"));
        };
        for field in shape.too_long(&change.row) {
            self.indices.shorten(&shape.index, field).await?;
        }
        // What the new document takes from the old one is found before that goes.
        self.pending.push(op);
        if let Some(moved) = moved {
            self.pending.push(moved);
        }
        Ok(())
    }

    /// How rows of a table become documents; `None` when they cannot.
    async fn shape(
        &mut self,
        relation: &Arc<Relation>,
        ids: Option<&Arc<Ids>>,
    ) -> Result<Option<Arc<Shape>>> {
        let Some(ids) = ids else {
            if self.nameless.insert(relation.oid) {
                tracing::warn!("{relation}: rows without ids are not indexed (from a topic: its writer needs modifiers.injector.enabled)");
            }
            return Ok(None);
        };
        if let Some(known) = self.shapes.get(&relation.oid) {
            if Arc::ptr_eq(&known.relation, relation) && Arc::ptr_eq(&known.ids, ids) {
                return Ok(known.shape.clone());
            }
        }
        let index = self.indices.alias(&relation.schema);
        let shape = Shape::new(relation, ids, Arc::clone(&index), self.hash).map(Arc::new);
        if let Some(shape) = &shape {
            self.indices.ensure(&index).await?;
            let fields: Vec<_> = shape.fields().collect();
            let other = self.indices.add(&index, &fields).await?;
            if !other.is_empty() {
                self.anew(&index, &other).await?;
                self.rewritten.push(relation.oid);
            }
            let before = self.shapes.get(&relation.oid).and_then(|known| known.shape.as_ref());
            if before.is_some_and(|before| !before.has_key_of(shape)) {
                self.rewritten.push(relation.oid);
            }
            self.places.insert(relation.oid, Place { index, table: ids.table.to_string() });
        } else if self.warned.insert(relation.oid) {
            tracing::warn!("{relation}: its rows are not indexed: it has no primary key, and no unique column that is never NULL");
        }
        let known = Known { relation: Arc::clone(relation), ids: Arc::clone(ids), shape: shape.clone() };
        self.shapes.insert(relation.oid, known);
        Ok(shape)
    }

    async fn truncate(&mut self, truncate: &Truncate) -> Result<()> {
        self.flush().await?;
        for (relation, ids) in truncate.relations.iter().zip(&truncate.ids) {
            let Some(ids) = ids else { continue };
            let index = self.indices.alias(&relation.schema);
            let version = self.version;
            self.remove(&index, &[ids.table.to_string()], version, |there| there <= version).await?;
        }
        Ok(())
    }

    /// A command that gave rows new values: no stream carries them.
    fn ddl(&mut self, ddl: &Ddl) {
        if ddl.rewrite {
            self.rewritten.extend(ddl.table_oids());
        }
    }

    /// Removes documents of tables, as of that position: those with a version that is `meant`.
    async fn remove(
        &mut self,
        index: &Arc<str>,
        tables: &[String],
        at: u64,
        meant: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let query = json!({ "terms": { "_table": tables } });
        let mut pages = Pages::find(&self.client, index, query, false).await?;
        while let Some(hits) = pages.next().await? {
            let meant = hits.into_iter().filter(|hit| meant(hit.version));
            let remove = |hit: pages::Hit| Op {
                index: Arc::clone(index),
                id: hit.id,
                version: at,
                what: What::Remove,
            };
            self.bulk.send(meant.map(remove).collect(), true).await?;
        }
        Ok(())
    }

    /// Sends what is pending, and waits until nothing is underway.
    async fn flush(&mut self) -> Result<()> {
        self.launch().await?;
        self.landed().await
    }

    /// Sends what is pending.
    async fn launch(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.landed().await?;
        let mut ops = self.pending.take();
        self.complete(&mut ops).await?;
        let (flight, told) = Work::begin();
        let bulk = self.bulk.clone();
        while self.sending.try_join_next().is_some() {}
        self.sending.spawn(async move { told.tell(bulk.send(ops, true).await) });
        self.flight = Some(flight);
        Ok(())
    }

    /// Waits until nothing is underway.
    async fn landed(&mut self) -> Result<()> {
        match self.flight.take() {
            Some(flight) => flight.wait().await,
            None => Ok(()),
        }
    }

    /// Gets what operations lack from the documents they change.
    async fn complete(&mut self, ops: &mut [Op]) -> Result<()> {
        let lacking: Vec<&mut Op> = ops.iter_mut().filter(|op| op.lacks().is_some()).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        // The document it was, and where that has gone already the one it became: what is written now was written before.
        let wanted = |op: &Op| {
            let from = op.lacks().unwrap_or(&op.id);
            [from, &op.id].map(|id| json!({ "_index": &*op.index, "_id": id }))
        };
        let docs: Vec<_> = lacking.iter().flat_map(|op| wanted(op)).collect();
        let answer = self.client.send_json(Method::Post, "_mget", &json!({ "docs": docs })).await?;
        let found: Found = answer.accepted()?.read()?;
        for (op, documents) in lacking.into_iter().zip(found.docs.chunks(2)) {
            for document in documents.iter().filter(|document| document.found) {
                if let Some(source) = &document.source {
                    op.complete(source.get());
                }
            }
            if op.lacks().is_some() {
                tracing::warn!(
                    index = &*op.index,
                    document = op.id,
                    "large values that did not change are not in the stream, and there is no document to take them from: copy the table again"
                );
            }
        }
        Ok(())
    }

    /// Ends the session.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}
