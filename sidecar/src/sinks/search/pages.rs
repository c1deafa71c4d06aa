//! All documents that a query finds, page by page.
//!
//! What is found is what was there when the first page was asked for; what is written meanwhile does not disturb.

use std::sync::Arc;

use opensearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{json, Value as Json};

use super::client::Client;
use crate::error::Result;
use crate::percent::encode;

/// How long the engine keeps the place between two pages.
const KEPT: &str = "5m";

/// A document that was found.
#[derive(Debug, Deserialize)]
pub(super) struct Hit {
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_version", default)]
    pub(super) version: u64,
    #[serde(rename = "_source")]
    pub(super) source: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    hits: Hits,
}

#[derive(Debug, Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

/// A search in hand.
pub(super) struct Pages<'a> {
    client: &'a Client,
    state: State,
}

enum State {
    First(String, Json),
    Next(String),
    Over,
}

impl<'a> Pages<'a> {
    /// Documents of an index, by a query; with their sources, if they are wanted. Everything acknowledged before is found.
    pub(super) async fn find(
        client: &'a Client,
        index: &Arc<str>,
        query: Json,
        sources: bool,
    ) -> Result<Self> {
        client.ask(Method::Post, &format!("{}/_refresh", encode(index)), None).await?;
        let size = if sources { 500 } else { 5000 };
        let body =
            json!({ "size": size, "query": query, "sort": ["_doc"], "version": true, "_source": sources });
        let state = State::First(format!("{}/_search?scroll={KEPT}", encode(index)), body);
        Ok(Self { client, state })
    }

    /// The next page; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Hit>>> {
        let (path, body) = match std::mem::replace(&mut self.state, State::Over) {
            State::First(path, body) => (path, body),
            State::Next(id) => ("_search/scroll".to_owned(), json!({ "scroll": KEPT, "scroll_id": id })),
            State::Over => return Ok(None),
        };
        let answer = self.client.send_json(Method::Post, &path, &body).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let page: Page = answer.accepted()?.read()?;
        if page.hits.hits.is_empty() {
            let id = json!({ "scroll_id": page.scroll });
            // It would end by itself, only later.
            self.client.ask(Method::Delete, "_search/scroll", Some(&id)).await?;
            return Ok(None);
        }
        self.state = State::Next(page.scroll);
        Ok(Some(page.hits.hits))
    }
}
