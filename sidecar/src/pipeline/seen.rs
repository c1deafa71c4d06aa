//! Passes over what a copy already holds, so that copy and stream join without gap or duplicate.
//!
//! ```text
//! a transaction the copy's snapshot sees:   its changes of copied tables, and DDL of what was copied, are passed over
//! any other:                                everything is applied
//! ```
//!
//! Which transactions a snapshot sees is exact (see [`View`]), and from `View::end` on nothing is passed over: the stage ends by itself.
//! A table that is asked for but was not copied had been dropped before the snapshot: what a seen transaction did to it is in no
//! copy and at no target.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::keep;
use crate::event::{Ddl, Event, Lsn, Relation, Transaction};
use crate::source::snapshot::tables::Patterns;
use crate::source::snapshot::view::View;

/// What copies hold.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    tables: HashMap<u32, View>,
    schemas: Vec<(Patterns, View)>,
    /// From here on no copy sees anything.
    end: Lsn,
    /// The one the stream is in, or was in last.
    current: Option<Transaction>,
}

impl Seen {
    /// A table's rows were copied.
    pub fn table(&mut self, oid: u32, view: View) {
        self.end = self.end.max(view.end);
        self.tables.insert(oid, view);
    }

    /// The schema of what those patterns ask for was copied.
    pub fn schema(&mut self, patterns: Patterns, view: View) {
        self.end = self.end.max(view.end);
        self.schemas.push((patterns, view));
    }

    /// Forgets a table: its changes are applied from here on.
    pub fn forget(&mut self, oid: u32) {
        self.tables.remove(&oid);
    }

    /// The transaction the stream is in, or was in last.
    pub fn current(&self) -> Option<Transaction> {
        self.current
    }

    /// A transaction begins. Copies that see neither it nor what commits after it are forgotten.
    pub fn begins(&mut self, transaction: Transaction) {
        self.current = Some(transaction);
        if transaction.commit_lsn >= self.end {
            self.tables.clear();
            self.schemas.clear();
        }
    }

    /// Nothing is passed over.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty()
    }

    /// One event in, at most one out.
    pub fn apply(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Begin(transaction) => {
                self.begins(transaction);
                Some(event)
            }
            Event::Change(change) => (!self.holds(&change.relation)).then_some(Event::Change(change)),
            Event::Truncate(mut truncate) => {
                truncate.relations.retain(|relation| !self.holds(relation));
                (!truncate.relations.is_empty()).then_some(Event::Truncate(truncate))
            }
            Event::Ddl(ddl) => self.ddl(ddl).map(Event::Ddl),
            Event::Message(_) | Event::Commit(_) | Event::Keepalive(_) => Some(event),
        }
    }

    fn is_seen(&self, view: &View) -> bool {
        self.current.is_some_and(|transaction| view.sees(transaction.xid, transaction.commit_lsn))
    }

    fn holds(&self, relation: &Arc<Relation>) -> bool {
        match self.tables.get(&relation.oid) {
            Some(view) => self.is_seen(view),
            None => self.schemas.iter().any(|(patterns, view)| {
                patterns.wants(&[(&relation.schema, &relation.name)]) && self.is_seen(view)
            }),
        }
    }

    fn ddl(&self, mut ddl: Arc<Ddl>) -> Option<Arc<Ddl>> {
        for (patterns, view) in self.schemas.iter().filter(|(_, view)| self.is_seen(view)) {
            if patterns.want_all() {
                return None;
            }
            let copied = |oid, schema: &str, name: &str| {
                patterns.wants(&[(schema, name)])
                    || self.tables.get(&oid).is_some_and(|copied| copied == view)
            };
            ddl = keep(
                ddl,
                |oid, schema, name| !copied(oid, schema, name),
                |schema| !patterns.want_schema(schema),
            )?;
        }
        Some(ddl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan;
    use crate::event::{Change, Commit, ReplicaIdentity, RowChange, Timestamp, Truncate, Tuple};

    fn relation(oid: u32, name: &str) -> Arc<Relation> {
        Arc::new(Relation {
            oid,
            schema: "public".into(),
            name: name.into(),
            identity: ReplicaIdentity::Default,
            columns: Vec::new(),
        })
    }

    fn seen() -> Seen {
        let view = || View::new("10:20:12", Lsn(1000)).expect("a snapshot");
        let patterns = Patterns::of(&plan::Filter { include: vec!["*".into()], ..Default::default() })
            .expect("patterns");
        let mut seen = Seen::default();
        seen.table(1, view());
        seen.schema(patterns, view());
        seen
    }

    /// Whether a change of that table in that transaction passes.
    fn passes(seen: &mut Seen, xid: u32, commit: u64, oid: u32, name: &str) -> bool {
        let (commit_lsn, time) = (Lsn(commit), Timestamp(0));
        assert!(seen.apply(Event::Begin(Transaction { xid, commit_lsn, time })).is_some());
        let row = RowChange::Insert { new: Tuple::from_values([]) };
        let change = Change { lsn: Lsn(1), relation: relation(oid, name), row, ids: None };
        let passed = seen.apply(Event::Change(change)).is_some();
        assert!(seen.apply(Event::Commit(Commit { end: Lsn(commit + 1), time })).is_some());
        passed
    }

    #[test]
    fn what_the_snapshot_sees_is_passed_over_and_no_more() {
        let seen = &mut seen();
        assert!(!passes(seen, 9, 500, 1, "t"));
        assert!(passes(seen, 12, 510, 1, "t"), "it was running when the snapshot was taken");
        assert!(!passes(seen, 13, 505, 1, "t"));
        assert!(passes(seen, 21, 900, 1, "t"));
        assert!(!seen.is_empty());
        assert!(passes(seen, 9, 1000, 1, "t"), "nothing is passed over from the end on");
        assert!(seen.is_empty());
    }

    #[test]
    fn a_table_dropped_before_the_snapshot_is_in_no_copy() {
        let seen = &mut seen();
        assert!(!passes(seen, 9, 500, 7, "dropped"));
        assert!(passes(seen, 12, 510, 7, "made_later"));
    }

    #[test]
    fn a_truncate_keeps_the_tables_that_were_not_copied() {
        let mut seen = Seen::default();
        seen.table(1, View::new("10:20:", Lsn(1000)).expect("a snapshot"));
        let transaction = Transaction { xid: 9, commit_lsn: Lsn(500), time: Timestamp(0) };
        let _ = seen.apply(Event::Begin(transaction));
        let relations = vec![relation(1, "t"), relation(2, "u")];
        let truncate =
            Truncate { lsn: Lsn(1), relations, restart_identity: false, apart: false, ids: Vec::new() };
        let Some(Event::Truncate(truncate)) = seen.apply(Event::Truncate(truncate)) else {
            panic!("passed over")
        };
        assert_eq!(truncate.relations.iter().map(|relation| relation.oid).collect::<Vec<_>>(), [2]);
    }
}
