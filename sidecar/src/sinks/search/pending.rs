//! What is to be done to documents, each once: of several changes of a row only what they come to is sent.
//!
//! ```text
//! put(a, 1)  put(b, 1)  remove(a, 2)  put(a, 2)  ──>  put(b, 1)  put(a, 2)
//! ```
//!
//! A put may lack fields: large values that did not change are not in the stream. They are taken from the document as it is by then, which is one in
//! here, or one that the engine has.

use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::event::json::write_string;

/// Something to be done to a document.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) index: Arc<str>,
    pub(super) id: String,
    /// Does nothing to a document with a higher one.
    pub(super) version: u64,
    pub(super) what: What,
}

/// What is to be done to it.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// It becomes this.
    Put {
        /// A JSON object without its closing brace.
        source: Vec<u8>,
        /// Fields that are as they were.
        missing: Vec<Box<str>>,
        /// In this document; `None` = in itself.
        from: Option<String>,
    },
    /// It goes.
    Remove,
}

/// Operations on documents, at most one of each.
#[derive(Debug, Default)]
pub(super) struct Pending {
    ops: Vec<Op>,
    by_id: HashMap<(Arc<str>, String), usize>,
}

/// Fields of a document, by name.
type Fields<'a> = HashMap<String, &'a RawValue>;

impl Op {
    /// About how many bytes it is.
    pub(super) fn size(&self) -> usize {
        const FRAME: usize = 100;
        let source = match &self.what {
            What::Put { source, .. } => source.len(),
            What::Remove => 0,
        };
        FRAME + self.index.len() + self.id.len() + source
    }

    /// Where what it lacks is to be found, besides here.
    pub(super) fn lacks(&self) -> Option<&str> {
        match &self.what {
            What::Put { missing, from, .. } if !missing.is_empty() => Some(from.as_ref().unwrap_or(&self.id)),
            What::Put { .. } | What::Remove => None,
        }
    }

    /// Takes what it lacks from a document.
    pub(super) fn complete(&mut self, document: &str) {
        let What::Put { source, missing, .. } = &mut self.what else { return };
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(document) else { return };
        missing.retain(|name| match fields.get(&**name) {
            Some(value) => {
                source.push(b',');
                write_string(name, source);
                source.push(b':');
                source.extend_from_slice(value.get().as_bytes());
                false
            }
            None => true,
        });
    }
}

impl Pending {
    /// Adds an operation behind the others.
    pub(super) fn push(&mut self, mut op: Op) {
        if let Some(from) = op.lacks() {
            let key = (Arc::clone(&op.index), from.to_owned());
            let there = self.by_id.get(&key).and_then(|at| self.ops.get(*at));
            if let Some(Op { what: What::Put { source, from: origin, .. }, .. }) = there {
                let document = [source.as_slice(), b"}"].concat();
                op.complete(&String::from_utf8_lossy(&document));
                if let What::Put { from, .. } = &mut op.what {
                    *from = Some(origin.clone().unwrap_or(key.1));
                }
            }
        }
        match self.by_id.entry((Arc::clone(&op.index), op.id.clone())) {
            Entry::Occupied(at) => {
                if let Some(there) = self.ops.get_mut(*at.get()) {
                    *there = op;
                }
            }
            Entry::Vacant(at) => {
                at.insert(self.ops.len());
                self.ops.push(op);
            }
        }
    }

    /// Takes all.
    pub(super) fn take(&mut self) -> Vec<Op> {
        self.by_id.clear();
        std::mem::take(&mut self.ops)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}
