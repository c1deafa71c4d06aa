//! Notes of tables that are to be copied again, in the index `pgstream-copies`, which is made with the first one.
//!
//! ```text
//! rows rewritten ──note──> the batch is durable ──> changes of the table are passed over ──> copied ──> note taken back
//!                   └─────────────── after a restart: what is noted is copied ──────────────┘
//! ```
//!
//! Why no table is forgotten: the note is on disk before the position behind what asked for the copy is confirmed, and goes only
//! after the copy.

use std::collections::HashSet;
use std::sync::Arc;

use opensearch::http::Method;
use serde_json::json;

use super::client::Client;
use super::pages::Pages;
use crate::error::Result;
use crate::percent::encode;
use crate::source::slot::Identity;

/// The index.
pub(super) const COPIES: &str = "pgstream-copies";

/// Notes of one source.
pub(super) struct Notes {
    client: Client,
    /// Server and database.
    source: String,
    /// By the tables' oids there.
    noted: HashSet<u32>,
}

impl Notes {
    /// Reads what is noted.
    pub(super) async fn open(client: Client, source: &Identity) -> Result<Self> {
        let source = format!("{}/{}", source.system, source.database);
        let mut noted = HashSet::new();
        let index: Arc<str> = COPIES.into();
        let mut pages = Pages::find(&client, &index, json!({ "term": { "source": source } }), false).await?;
        while let Some(hits) = pages.next().await? {
            let oid = |hit: &str| hit.rsplit('/').next()?.parse::<u32>().ok();
            noted.extend(hits.iter().filter_map(|hit| oid(&hit.id)));
        }
        Ok(Self { client, source, noted })
    }

    /// The tables that are noted.
    pub(super) fn tables(&self) -> Vec<u32> {
        self.noted.iter().copied().collect()
    }

    /// Notes tables.
    pub(super) async fn add(&mut self, tables: &[u32]) -> Result<()> {
        for table in tables {
            if !self.noted.contains(table) {
                self.client.ensure(COPIES, &json!({ "source": { "type": "keyword" } })).await?;
                self.client
                    .ask(Method::Put, &self.path(*table), Some(&json!({ "source": self.source })))
                    .await?;
                self.noted.insert(*table);
            }
        }
        Ok(())
    }

    /// Takes back notes of tables.
    pub(super) async fn remove(&mut self, tables: &HashSet<u32>) -> Result<()> {
        for table in tables {
            if self.noted.contains(table) {
                self.client.ask(Method::Delete, &self.path(*table), None).await?;
                self.noted.remove(table);
            }
        }
        Ok(())
    }

    fn path(&self, table: u32) -> String {
        format!("{COPIES}/_doc/{}?refresh=true", encode(&format!("{}/{table}", self.source)))
    }
}
