//! Which entries of an archive are restored. Pure: the archive's own graph of needs, the catalogue's facts and the selection go in.
//!
//! ```text
//!   wanted    what the selection names: all of a schema, single tables           \
//!   hanging   indexes, constraints, triggers, comments, grants .. of those        > restored
//!   needed    types, functions, sequences, schemas, extensions they cannot do without /
//!   blocked   a table that is not copied, and ours, with everything that needs it   left out, and named
//! ```
//!
//! pg_dump made the graph from `pg_depend` in the same snapshot and lists an entry after all it needs, so one pass forwards knows what is
//! blocked. Growing the choice by what hangs on it and by what it needs is repeated until nothing is added.

use std::collections::{HashMap, HashSet};

use super::archive::Item;
use super::catalog::{Catalog, Hidden, RELATION};
use super::{kinds, Selection};

/// Schemas that hold our own state; never copied.
pub(super) const OURS: [&str; 2] = ["pgstream", "pgstream_sink"];

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Ids of the entries that are restored; true: the selection names them or they belong to what it names, false: those only need them.
    pub(super) entries: HashMap<u32, bool>,
    /// One line for each object that belongs to the selection and is not restored.
    pub(super) left_out: Vec<String>,
}

/// Chooses among `items`.
pub(super) fn choose(items: &[Item], catalog: &Catalog, selection: &Selection) -> Choice {
    let mut chooser = Chooser::new(items, catalog, selection);
    chooser.find_blocked();
    chooser.grow();
    chooser.report()
}

struct Chooser<'a> {
    items: &'a [Item],
    catalog: &'a Catalog,
    selection: &'a Selection,
    by_id: HashMap<u32, &'a Item>,
    relations: HashMap<u32, u32>,
    wanted_tables: HashSet<u32>,
    /// Entry -> the entry that is in its way (itself, when it is one that must not be made).
    blocked: HashMap<u32, u32>,
    chosen: HashMap<u32, bool>,
}

impl<'a> Chooser<'a> {
    fn new(items: &'a [Item], catalog: &'a Catalog, selection: &'a Selection) -> Self {
        Self {
            items,
            catalog,
            selection,
            by_id: items.iter().map(|item| (item.id, item)).collect(),
            relations: items
                .iter()
                .filter(|item| item.class == RELATION)
                .map(|item| (item.oid, item.id))
                .collect(),
            wanted_tables: selection.tables.iter().copied().collect(),
            blocked: HashMap::new(),
            chosen: HashMap::new(),
        }
    }

    /// What an entry cannot do without. A partition can be made alone, and its index or constraint without that of the parent:
    /// there the archive only says the order.
    fn needs(&self, item: &'a Item) -> impl Iterator<Item = &'a Item> + '_ {
        let alone = item.class == RELATION && self.catalog.partitions.contains(&item.oid);
        let index = |kind: &str| matches!(kind, "INDEX" | "CONSTRAINT");
        item.needs.iter().filter_map(|id| self.by_id.get(id).copied()).filter(move |need| {
            let parent = alone && kinds::is_table(&need.kind);
            !(parent || index(&item.kind) && index(&need.kind))
        })
    }

    /// What an entry belongs to, by id. `None`: it belongs to something that the archive does not have.
    fn owners(&self, item: &Item) -> Option<Vec<u32>> {
        match (self.catalog.of.get(&(item.class, item.oid)), item.kind.as_str()) {
            (Some(table), _) => self.relations.get(table).map(|id| vec![*id]),
            (None, "SEQUENCE OWNED BY") => self.owner_of_sequence(item),
            // The partition, not its parent.
            (None, "TABLE ATTACH") => {
                let is_child = |need: &&Item| need.tag == item.tag && need.schema == item.schema;
                let needs = item.needs.iter().filter_map(|id| self.by_id.get(id).copied());
                Some(needs.filter(is_child).map(|need| need.id).collect())
            }
            (None, _) => Some(item.needs.clone()),
        }
    }

    /// `alter sequence .. owned by` also needs the table, which the archive does not say.
    fn owner_of_sequence(&self, item: &Item) -> Option<Vec<u32>> {
        let sequence = self.by_id.get(item.needs.first()?)?;
        let table = self.catalog.of.get(&(RELATION, sequence.oid))?;
        Some(vec![*self.relations.get(table)?])
    }

    fn hangs(&self, item: &Item) -> bool {
        let owned_sequence = item.kind == "SEQUENCE" && self.catalog.of.contains_key(&(item.class, item.oid));
        owned_sequence || kinds::hangs_on(&item.kind)
    }

    fn is_ours(&self, item: &Item) -> bool {
        let name = if item.schema.is_empty() { item.tag.as_str() } else { item.schema.as_str() };
        match item.kind.as_str() {
            "EVENT TRIGGER" => item.tag.starts_with("pgstream_"),
            "SCHEMA" | "EXTENSION" => OURS.contains(&name),
            _ => !item.schema.is_empty() && OURS.contains(&name),
        }
    }

    fn is_wanted(&self, item: &Item) -> bool {
        let in_schema = |name: &str| self.selection.schemas.iter().any(|schema| schema == name);
        self.selection.whole
            || in_schema(&item.schema)
            || item.class == RELATION && self.wanted_tables.contains(&item.oid)
            || match item.kind.as_str() {
                "SCHEMA" => in_schema(&item.tag),
                "EXTENSION" => self.extension_is_wanted(item.oid, &in_schema),
                _ => false,
            }
    }

    fn extension_is_wanted(&self, extension: u32, in_schema: &dyn Fn(&str) -> bool) -> bool {
        self.catalog.extensions.get(&extension).is_some_and(|schema| in_schema(schema))
            || self
                .catalog
                .members
                .iter()
                .any(|(table, of)| *of == extension && self.wanted_tables.contains(table))
    }

    /// Tables that wanted tables cannot be made without (a parent, a table whose row type a column has): they are made too, without rows.
    fn pulled(&self) -> HashSet<u32> {
        let mut found: HashSet<u32> = HashSet::new();
        let tables = self.items.iter().filter(|item| kinds::is_table(&item.kind) && self.is_wanted(item));
        let mut pending: Vec<&Item> = tables.collect();
        while let Some(item) = pending.pop() {
            if found.insert(item.id) {
                pending.extend(self.needs(item));
            }
        }
        found
    }

    /// Finds what is in the way of what. A view that could only be made as an empty shell, because the rule that fills it is blocked, is
    /// blocked itself; then what needs the view is looked at again.
    fn find_blocked(&mut self) {
        let pulled = self.pulled();
        loop {
            let before = self.blocked.len();
            for item in self.items {
                if let Some(by) = self.obstacle(item, &pulled) {
                    self.blocked.entry(item.id).or_insert(by);
                }
            }
            for rule in self.items.iter().filter(|item| kinds::is_view_rule(item)) {
                let view = self.owners(rule).and_then(|owners| owners.first().copied());
                if let (Some(view), Some(by)) = (view, self.blocked.get(&rule.id).copied()) {
                    self.blocked.entry(view).or_insert(by);
                }
            }
            if self.blocked.len() == before {
                return;
            }
        }
    }

    /// The entry because of which this one is not restored, if there is one.
    fn obstacle(&self, item: &Item, pulled: &HashSet<u32>) -> Option<u32> {
        let table = kinds::is_table(&item.kind);
        let unwanted = item.class == RELATION && self.selection.without.contains(&item.oid);
        if unwanted
            || table && !pulled.contains(&item.id)
            || kinds::is_skipped(&item.kind)
            || self.is_ours(item)
        {
            return Some(item.id);
        }
        let by = self.needs(item).find_map(|need| self.blocked.get(&need.id).copied())?;
        // A wanted table that needs something of ours is made or fails aloud: it is never left out.
        let spared = table && self.by_id.get(&by).is_some_and(|by| self.is_ours(by));
        (!spared).then_some(by)
    }

    /// Whether an entry belongs to the choice: of itself (true) or because others in it do.
    fn claim(&self, item: &Item) -> Option<bool> {
        if !self.hangs(item) {
            return self.is_wanted(item).then_some(true);
        }
        let owners = self.owners(item)?;
        if !owners.iter().any(|id| self.by_id.contains_key(id)) {
            // A user mapping names its server only in its text; the schema public is in no archive unless it was changed.
            let schema = item.tag.strip_prefix("SCHEMA ").map(|name| name.trim_matches('"'));
            let wanted =
                schema.is_some_and(|name| self.selection.schemas.iter().any(|schema| schema == name));
            return (self.selection.whole || wanted).then_some(true);
        }
        owners.iter().filter_map(|id| self.chosen.get(id)).copied().reduce(|one, other| one || other)
    }

    fn grow(&mut self) {
        loop {
            let before = (self.chosen.len(), self.chosen.values().filter(|own| **own).count());
            for item in self.items.iter().filter(|item| !self.blocked.contains_key(&item.id)) {
                if let Some(own) = self.claim(item) {
                    let known = self.chosen.entry(item.id).or_insert(own);
                    *known |= own;
                }
            }
            let items = self.items;
            for item in items.iter().rev() {
                if !self.chosen.contains_key(&item.id) {
                    continue;
                }
                let needs: Vec<u32> = self.needs(item).map(|need| need.id).collect();
                for need in needs.into_iter().filter(|id| !self.blocked.contains_key(id)) {
                    self.chosen.entry(need).or_insert(false);
                }
            }
            if before == (self.chosen.len(), self.chosen.values().filter(|own| **own).count()) {
                return;
            }
        }
    }

    fn report(self) -> Choice {
        let mut left_out = Vec::new();
        for item in self.items {
            let Some(by) = self.blocked.get(&item.id).filter(|by| **by != item.id) else { continue };
            let Some(culprit) = self.by_id.get(by).filter(|by| !kinds::is_skipped(&by.kind)) else {
                continue;
            };
            // What hangs on something that is left out is not worth a line of its own.
            if item.kind != "INDEX ATTACH" && self.claim(item).is_some() {
                let why = if self.is_ours(culprit) { "is pgstream's own" } else { "is not copied" };
                left_out.push(format!("{}: needs {}, which {why}", label(item), name(culprit)));
            }
        }
        Choice { entries: self.chosen, left_out }
    }
}

/// Puts tables that pg_dump had to pass over in front, as if it had not, with what needs them: so that is left out, and named.
pub(super) fn add_hidden(items: &mut Vec<Item>, hidden: &[Hidden]) {
    let free = items.iter().map(|item| item.id).max().unwrap_or_default();
    for (table, id) in hidden.iter().zip(free + 1..) {
        for item in items.iter_mut().filter(|item| table.dependents.contains(&(item.class, item.oid))) {
            item.needs.push(id);
        }
    }
    let tables = hidden.iter().zip(free + 1..).map(|(table, id)| Item {
        id,
        class: RELATION,
        oid: table.oid,
        tag: table.name.clone(),
        kind: "TABLE".into(),
        schema: table.schema.clone(),
        ..Item::default()
    });
    items.splice(0..0, tables);
}

/// An entry's name for people: `public.t_pkey`.
pub(super) fn name(item: &Item) -> String {
    let tag = item.tag.replace('\n', " ");
    match item.schema.as_str() {
        "" => tag,
        schema if kinds::describes(&item.kind) => format!("{tag} in {schema}"),
        schema => format!("{schema}.{tag}"),
    }
}

/// Kind and name: `FK CONSTRAINT public.t t_fk`.
pub(super) fn label(item: &Item) -> String {
    format!("{} {}", item.kind, name(item))
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
