//! Operations sent together, several requests at a time.
//!
//! ```text
//! ops ──cut──> requests of so many bytes and documents ──at most so many at a time──> answers, item by item
//!                 ^                                                                     │ busy: wait, again
//!                 └─ half as large after `too many requests`, a little larger after each success
//! ```
//!
//! Each document is in one operation of a call, so the requests may arrive in any order. Every operation has its version: what comes again, or too
//! late, changes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use opensearch::http::Method;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::Client;
use super::pending::{Op, What};
use crate::config::plan::{Backoff, BatchLimits};
use crate::error::{Error, Kind, Result};
use crate::event::json::write_string;
use crate::retry::{self, Attempts};
use crate::run::joined;

/// Of an answer only what is looked at.
const ANSWER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";
/// What the engines call an index that is gone.
const MISSING: &str = "index_not_found_exception";
const FILL_IT: &str =
    "it is made again; to have its documents again: select pgstream.request_snapshot('{schema.*}')";
/// No smaller requests than these, in documents.
const FEWEST: usize = 50;

/// Sends operations.
#[derive(Clone)]
pub(super) struct Bulk {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    limits: BatchLimits,
    /// Documents in a request, as the engine can take them just now.
    documents: AtomicUsize,
    room: Semaphore,
    backoff: Backoff,
}

/// An answer.
#[derive(Debug, Deserialize)]
struct Done {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

/// What became of an operation.
#[derive(Debug, Deserialize)]
struct Item {
    #[serde(alias = "index", alias = "delete")]
    of: Outcome,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
    caused_by: Option<Cause>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
}

impl Bulk {
    pub(super) fn new(client: Client, limits: BatchLimits, parallel: usize, backoff: Backoff) -> Self {
        let documents = AtomicUsize::new(limits.size);
        let shared = Shared { client, limits, documents, room: Semaphore::new(parallel), backoff };
        Self { shared: Arc::new(shared) }
    }

    /// Does all of it; Ok means that the engine has it on disk. `aliases`: the indices are named by these; one that is gone is not made
    /// by writing to it.
    ///
    /// # Errors
    /// Rejected with document and field for what the mapping does not take; fatal when an index is gone or rights are missing; transient
    /// when the engine does not recover in time.
    pub(super) async fn send(&self, ops: Vec<Op>, aliases: bool) -> Result<()> {
        let mut requests = JoinSet::new();
        let mut ops = ops.into_iter().peekable();
        while ops.peek().is_some() {
            let request = self.shared.cut(&mut ops);
            let shared = Arc::clone(&self.shared);
            requests.spawn(async move { shared.request(request, aliases).await });
        }
        while let Some(done) = requests.join_next().await {
            joined(done)??;
        }
        Ok(())
    }
}

impl Shared {
    /// The operations of the next request.
    fn cut(&self, ops: &mut impl Iterator<Item = Op>) -> Vec<Op> {
        let (most, mut bytes, mut request) = (self.documents.load(Ordering::Relaxed), 0, Vec::new());
        for op in ops {
            bytes += op.size();
            request.push(op);
            if request.len() >= most || bytes >= self.limits.bytes {
                break;
            }
        }
        request
    }

    async fn request(&self, mut ops: Vec<Op>, aliases: bool) -> Result<()> {
        // Never closed.
        let _room = self.room.acquire().await;
        let mut attempts = Attempts::new(self.backoff);
        attempts.established();
        loop {
            let left = self.once(ops, aliases).await?;
            if left.ops.is_empty() {
                self.faster();
                return Ok(());
            }
            ops = left.ops;
            let why = left.why.to_string();
            let pause = attempts.after(left.why)?;
            tracing::warn!("{why}; {} operations again in {pause:.1?}", ops.len());
            self.slower();
            retry::wait(pause).await;
        }
    }

    /// One request; what the engine could not take just now.
    async fn once(&self, ops: Vec<Op>, aliases: bool) -> Result<Left> {
        let path = format!("_bulk?require_alias={aliases}&{ANSWER}");
        let answer = self.client.send(Method::Post, &path, Some(body(&ops))).await?;
        let answer = match answer.accepted() {
            Ok(answer) => answer,
            Err(why) if why.kind() == Kind::Transient => return Ok(Left { ops, why }),
            Err(why) => return Err(why),
        };
        let done: Done = answer.read()?;
        let mut left = Left { ops: Vec::new(), why: Error::transient("busy") };
        if !done.errors {
            return Ok(left);
        }
        for (op, item) in ops.into_iter().zip(done.items) {
            let Some(error) = item.of.error else { continue };
            // Version conflict: there is a newer one.
            if item.of.status == 409
                || (item.of.status == 404 && matches!(op.what, What::Remove) && error.kind != MISSING)
            {
                continue;
            }
            let why =
                error.explain(item.of.status).context(format_args!("index {}, document {}", op.index, op.id));
            // An index that is gone does not come back by waiting.
            if why.kind() != Kind::Transient || why.code() == Some(MISSING) {
                return Err(why);
            }
            left.why = why;
            left.ops.push(op);
        }
        Ok(left)
    }

    fn slower(&self) {
        let halved = |documents: usize| Some((documents / 2).max(FEWEST));
        let _ = self.documents.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halved);
    }

    fn faster(&self) {
        let more = |documents: usize| {
            (documents < self.limits.size).then(|| (documents + documents / 10 + 1).min(self.limits.size))
        };
        let _ = self.documents.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// What a request left undone.
struct Left {
    ops: Vec<Op>,
    why: Error,
}

impl Trouble {
    fn explain(&self, status: u16) -> Error {
        let cause =
            self.caused_by.as_ref().map(|cause| cause.reason.as_str()).filter(|text| !text.is_empty());
        let text = match cause {
            Some(cause) => format!("{}: {cause}", self.reason),
            None => self.reason.clone(),
        };
        let error = Error::transient(text);
        match (status, self.kind.as_str()) {
            (_, MISSING) => error.with_code(MISSING).hint(FILL_IT),
            (_, "cluster_block_exception") | (408 | 429 | 500.., _) => error,
            (403, _) => error.into_kind(Kind::Fatal).hint("grant this login the right to write the index"),
            (_, _) => error.into_kind(Kind::Rejected),
        }
    }
}

fn body(ops: &[Op]) -> Vec<u8> {
    let mut body = Vec::with_capacity(ops.iter().map(Op::size).sum());
    for op in ops {
        let action: &[u8] = match op.what {
            What::Put { .. } => b"{\"index\":{\"_index\":",
            What::Remove => b"{\"delete\":{\"_index\":",
        };
        body.extend_from_slice(action);
        write_string(&op.index, &mut body);
        body.extend_from_slice(b",\"_id\":");
        write_string(&op.id, &mut body);
        body.extend_from_slice(b",\"version\":");
        body.extend_from_slice(op.version.to_string().as_bytes());
        body.extend_from_slice(b",\"version_type\":\"external_gte\"}}\n");
        if let What::Put { source, .. } = &op.what {
            body.extend_from_slice(source);
            body.extend_from_slice(b"}\n");
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(kind: &str, status: u16) -> Error {
        let caused_by = Some(Cause { reason: "for input string".into() });
        Trouble { kind: kind.into(), reason: "failed to parse field [x-2]".into(), caused_by }.explain(status)
    }

    #[test]
    fn an_item_is_told_by_what_can_be_done_about_it() {
        let cases = [
            ("mapper_parsing_exception", 400, Kind::Rejected),
            ("es_rejected_execution_exception", 429, Kind::Transient),
            ("cluster_block_exception", 403, Kind::Transient),
            ("security_exception", 403, Kind::Fatal),
            ("unavailable_shards_exception", 503, Kind::Transient),
        ];
        for (kind, status, expected) in cases {
            assert_eq!(trouble(kind, status).kind(), expected, "{kind}");
        }
        let text = trouble("mapper_parsing_exception", 400).to_string();
        assert_eq!(text, "failed to parse field [x-2]: for input string");
        assert_eq!(trouble("index_not_found_exception", 404).code(), Some(MISSING));
    }

    #[test]
    fn an_answer_is_read_item_by_item() {
        let text = r#"{"errors":true,"items":[{"index":{"status":201}},{"delete":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}}]}"#;
        let done: Done = serde_json::from_str(text).expect("an answer");
        assert!(done.errors && done.items[0].of.error.is_none());
        assert_eq!(done.items[1].of.status, 409);
    }
}
