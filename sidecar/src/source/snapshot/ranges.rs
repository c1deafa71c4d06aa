//! Who copies what next: the tables of a copy cut into ranges of pages.
//!
//! ```text
//! table   [0, 1000) [1000, 2000) ... [n, end)      hand_out() hands out, done() and again() take back
//! ```
//!
//! Sans-I/O. The largest table comes first, so that no worker is left alone with it at the end; a table that nobody is at comes before a
//! second worker at another. The last range has no upper bound: the table may have grown since its size was read. A table is complete
//! when all its ranges were handed out and none is open or to be done again; each range is in exactly one of these states, so no row is
//! copied twice or missed.

use crate::config::snapshot::{RangeSize, Workers};
use crate::source::snapshot::tables::Table;

/// A range of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Which table: its index.
    pub table: usize,
    /// Which of its ranges.
    pub number: u32,
    /// First page.
    pub from: u64,
    /// The page after the last one; `None` = to the end.
    pub to: Option<u64>,
}

/// What becomes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ranges are handed out.
    Open,
    /// No more ranges: it failed, or is put aside.
    Closed,
    /// All ranges are done.
    Complete,
}

#[derive(Debug)]
struct Progress {
    schema: Box<str>,
    pages: u64,
    step: u64,
    next: u64,
    handed_out: bool,
    number: u32,
    open: usize,
    again: Vec<Range>,
    state: State,
}

/// The ranges of all tables of a copy.
#[derive(Debug)]
pub struct Ranges {
    tables: Vec<Progress>,
    workers: Workers,
}

/// What a worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Copy this.
    Range(Range),
    /// Wait until another worker is done with something.
    Wait,
    /// Nothing is left, and nothing will come.
    Nothing,
}

impl Ranges {
    /// The ranges of those tables, in their order. `cut`: the server reads a range of pages without reading the table (PostgreSQL 14).
    pub fn new(tables: &[Table], size: RangeSize, workers: Workers, cut: bool) -> Self {
        let tables = tables.iter().map(|table| Progress {
            schema: table.relation.schema.clone(),
            pages: table.pages,
            step: if cut { pages(table, size) } else { u64::MAX },
            next: 0,
            handed_out: false,
            number: 0,
            open: 0,
            again: Vec::new(),
            state: State::Open,
        });
        Self { tables: tables.collect(), workers }
    }

    /// The next range that the limits allow.
    pub fn hand_out(&mut self) -> Next {
        let mut busy: Vec<(&str, usize)> = Vec::new();
        for table in self.tables.iter().filter(|table| table.open > 0) {
            match busy.iter_mut().find(|(schema, _)| *schema == &*table.schema) {
                Some((_, tables)) => *tables += 1,
                None => busy.push((&table.schema, 1)),
            }
        }
        let in_schema =
            |schema: &str| busy.iter().find(|(other, _)| *other == schema).map(|(_, tables)| *tables);
        let may_start = |schema: &str| match in_schema(schema) {
            Some(tables) => tables < self.workers.tables,
            None => busy.len() < self.workers.schemas,
        };
        let may = |table: &Progress| {
            table.has_next()
                && if table.open > 0 { table.open < self.workers.ranges } else { may_start(&table.schema) }
        };
        // Two workers on one table wait for each other where the target makes it longer.
        let alone = self.tables.iter().position(|table| table.open == 0 && may(table));
        match alone.or_else(|| self.tables.iter().position(may)) {
            Some(index) => Next::Range(self.tables[index].take(index)),
            None if self.tables.iter().any(|table| table.open > 0 || table.has_next()) => Next::Wait,
            None => Next::Nothing,
        }
    }

    /// A range was copied. True when it was the last of its table.
    pub fn done(&mut self, range: Range) -> bool {
        let table = &mut self.tables[range.table];
        table.open -= 1;
        let complete = table.state == State::Open && table.open == 0 && !table.has_next();
        if complete {
            table.state = State::Complete;
        }
        complete
    }

    /// A range was not copied and is to be done again.
    pub fn again(&mut self, range: Range) {
        let table = &mut self.tables[range.table];
        table.open -= 1;
        table.again.push(range);
    }

    /// A range was not copied, and the table is given up: no more of its ranges are handed out.
    pub fn close(&mut self, range: Range) {
        let table = &mut self.tables[range.table];
        table.open -= 1;
        table.state = State::Closed;
    }

    /// A table of which every range was copied does not count as complete all the same.
    pub fn disown(&mut self, table: usize) {
        self.tables[table].state = State::Closed;
    }

    /// The tables of which everything was copied.
    pub fn complete(&self) -> impl Iterator<Item = usize> + '_ {
        self.tables
            .iter()
            .enumerate()
            .filter(|(_, table)| table.state == State::Complete)
            .map(|(index, _)| index)
    }
}

impl Progress {
    fn has_next(&self) -> bool {
        self.state == State::Open && (!self.handed_out || !self.again.is_empty())
    }

    fn take(&mut self, table: usize) -> Range {
        self.open += 1;
        if let Some(range) = self.again.pop() {
            return range;
        }
        let (from, number) = (self.next, self.number);
        self.next = from.saturating_add(self.step);
        self.number += 1;
        self.handed_out = self.next >= self.pages;
        Range { table, number, from, to: (!self.handed_out).then_some(self.next) }
    }
}

/// Pages of a range. Oversized values lie beside the table's own pages; what counts is what is read for a page.
fn pages(table: &Table, size: RangeSize) -> u64 {
    match size {
        RangeSize::Pages(pages) => pages.max(1),
        RangeSize::Bytes(bytes) => {
            let per_page = (table.bytes / table.pages.max(1)).max(1);
            (bytes / per_page).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{Relation, ReplicaIdentity};

    fn table(schema: &str, pages: u64) -> Table {
        let relation = Relation {
            oid: 1,
            schema: schema.into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: Vec::new(),
        };
        Table {
            relation: Arc::new(relation),
            numbers: Vec::new(),
            types: Vec::new(),
            type_names: Vec::new(),
            file: 1,
            pages,
            bytes: pages * 8192,
            binary: true,
            unreadable: None,
        }
    }

    fn workers(schemas: usize, tables: usize, ranges: usize) -> Workers {
        Workers { schemas, tables, ranges, all: 100 }
    }

    fn all(ranges: &mut Ranges) -> Vec<Range> {
        std::iter::from_fn(|| match ranges.hand_out() {
            Next::Range(range) => Some(range),
            Next::Wait | Next::Nothing => None,
        })
        .collect()
    }

    #[test]
    fn an_empty_table_is_one_range_to_the_end() {
        let mut ranges = Ranges::new(&[table("a", 0)], RangeSize::Pages(10), workers(1, 1, 4), true);
        assert_eq!(all(&mut ranges), [Range { table: 0, number: 0, from: 0, to: None }]);
    }

    #[test]
    fn limits_hold_per_table_schema_and_all() {
        let tables = [table("a", 100), table("a", 100), table("a", 100), table("b", 100)];
        let mut ranges = Ranges::new(&tables, RangeSize::Pages(10), workers(1, 2, 3), true);
        let first = all(&mut ranges);
        assert_eq!(first.iter().map(|range| range.table).collect::<Vec<_>>(), [0, 1, 0, 0, 1, 1]);
        assert_eq!(ranges.hand_out(), Next::Wait);
        let mut ranges = Ranges::new(&tables, RangeSize::Pages(1000), workers(2, 2, 3), true);
        assert_eq!(all(&mut ranges).iter().map(|range| range.table).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn a_table_given_up_is_never_complete() {
        let mut ranges = Ranges::new(&[table("a", 30)], RangeSize::Pages(10), workers(1, 1, 2), true);
        let open = all(&mut ranges);
        ranges.close(open[0]);
        assert!(!ranges.done(open[1]) && ranges.complete().next().is_none());
        assert_eq!(ranges.hand_out(), Next::Nothing);
    }

    #[test]
    fn a_table_whose_end_is_not_noted_is_not_complete() {
        let mut ranges = Ranges::new(&[table("a", 5)], RangeSize::Pages(10), workers(1, 1, 2), true);
        let open = all(&mut ranges);
        assert!(ranges.done(open[0]));
        ranges.disown(0);
        assert!(ranges.complete().next().is_none() && ranges.hand_out() == Next::Nothing);
    }

    proptest! {
        /// In whatever order ranges are done or done again: together they cover every page once, and the table completes once, at the end.
        #[test]
        fn every_page_is_copied_once(pages in 0..200_u64, step in 1..50_u64, again in proptest::collection::vec(any::<bool>(), 0..40)) {
            let mut ranges = Ranges::new(&[table("a", pages)], RangeSize::Pages(step), workers(1, 1, 3), true);
            let (mut open, mut done, mut again, mut completed) = (Vec::new(), Vec::new(), again.into_iter(), 0);
            loop {
                match ranges.hand_out() {
                    Next::Range(range) => { open.push(range); continue; }
                    Next::Nothing => break,
                    Next::Wait => {}
                }
                let range = open.remove(0);
                if again.next().unwrap_or(false) {
                    ranges.again(range);
                } else {
                    done.push(range);
                    completed += usize::from(ranges.done(range));
                }
            }
            prop_assert_eq!(completed, 1);
            done.sort_by_key(|range| range.from);
            let mut next = 0;
            for range in &done {
                prop_assert_eq!(range.from, next);
                next = range.to.unwrap_or(u64::MAX);
            }
            prop_assert_eq!(next, u64::MAX);
        }
    }
}
