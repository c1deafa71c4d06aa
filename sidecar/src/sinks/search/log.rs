//! The index `pgstream`: versions of schemas, one document each.

use std::sync::Arc;

use opensearch::http::Method;
use serde_json::{json, Value as Json};

use super::catalog::Version;
use super::pages::Pages;
use super::Search;
use crate::error::Result;
use crate::percent::encode;

/// Its name.
pub(super) const LOG: &str = "pgstream";

impl Search {
    /// Stores a version.
    pub(super) async fn log(&mut self, version: &Version) -> Result<()> {
        self.client.ensure(LOG, &properties()).await?;
        let document = format!("{LOG}/_doc/{}?refresh=true", encode(&version.id));
        self.client.ask(Method::Put, &document, Some(&version.document())).await?;
        Ok(())
    }

    /// Removes the versions of a schema that is gone.
    pub(super) async fn forget_log(&mut self, schema: &str) -> Result<()> {
        let log: Arc<str> = LOG.into();
        let query = json!({ "term": { "schema_name": schema } });
        let mut pages = Pages::find(&self.client, &log, query, false).await?;
        while let Some(hits) = pages.next().await? {
            for hit in hits {
                self.client
                    .ask(Method::Delete, &format!("{LOG}/_doc/{}?refresh=true", encode(&hit.id)), None)
                    .await?;
            }
        }
        Ok(())
    }
}

fn properties() -> Json {
    json!({ "id": { "type": "keyword" }, "version": { "type": "long" }, "schema_name": { "type": "keyword" }, "schema": { "type": "text" },
        "created_at": { "type": "date", "format": "yyyy-MM-dd HH:mm:ss.SSSSSS" }, "acked": { "type": "boolean" } })
}
