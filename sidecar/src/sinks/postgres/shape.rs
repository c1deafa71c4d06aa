//! Which statement a row's change needs. Changes that differ only in their values share one: a shape, made and parsed once.

use super::session::{Op, Session, Step};
use super::statement::{self, Columns, Existing, Match};
use super::table::Table;
use crate::config::plan::OnConflict;
use crate::error::{Error, Result};
use crate::event::{Change, OldRow, RowChange, Tuple, Value};
use crate::postgres::pipeline::StatementId;

/// More shapes than this of one table are not kept: a table without key is matched by statements that depend on which values are NULL.
const MOST: usize = 256;

/// A statement in use: what it binds of the new and of the old row.
#[derive(Debug, Clone)]
struct Shape {
    id: StatementId,
    new: Columns,
    /// Columns whose values identify the row, taken from the old row, or from the new one when no old one was sent.
    equal: Columns,
    may_miss: bool,
}

/// The shapes of one table.
#[derive(Default)]
pub(super) struct Shapes {
    insert: Option<Shape>,
    others: Vec<(Vec<u16>, Option<Shape>)>,
    scratch: Vec<u16>,
}

/// Queues the statement for one row's change.
pub(super) fn apply(
    session: &mut Session,
    table: &mut Table,
    change: &Change,
    on_conflict: OnConflict,
) -> Result<()> {
    let (op, row) = match &change.row {
        RowChange::Insert { new } => (Op::Insert, new),
        RowChange::Update { new, .. } => (Op::Update, new),
        RowChange::Delete { old } => (Op::Delete, old.tuple()),
    };
    let columns = table.relation.columns.len();
    if row.len() != columns {
        return Err(Error::fatal(format!(
            "a row of {} has another number of columns than its table",
            change.relation
        )));
    }
    let Some(at) = find(session, table, change, on_conflict)? else { return Ok(()) };
    let Some(shape) = table.shapes.at(at) else { return Ok(()) };
    let step = Step::Row {
        op,
        lsn: change.lsn,
        relation: std::sync::Arc::clone(&table.relation),
        row: row.clone(),
        may_miss: shape.may_miss,
    };
    let (new, old) = match &change.row {
        RowChange::Insert { new } => (Some(new), None),
        RowChange::Update { old, new } => (Some(new), Some(old.as_ref().map_or(new, OldRow::tuple))),
        RowChange::Delete { old } => (None, Some(old.tuple())),
    };
    session.bind(step, shape.id, picked(new, &shape.new).chain(picked(old, &shape.equal)))
}

/// The values of those columns (ascending), in one walk over the row.
fn picked<'a>(row: Option<&'a Tuple>, columns: &'a [usize]) -> impl Iterator<Item = Value<'a>> {
    let mut wanted = columns.iter().copied().peekable();
    row.into_iter().flat_map(Tuple::values).enumerate().filter_map(move |(index, value)| {
        wanted.next_if_eq(&index)?;
        Some(value)
    })
}

/// Where a shape is kept.
#[derive(Clone, Copy)]
enum At {
    Insert,
    Other(usize),
}

impl Shapes {
    fn at(&self, at: At) -> Option<&Shape> {
        match at {
            At::Insert => self.insert.as_ref(),
            At::Other(index) => self.others.get(index)?.1.as_ref(),
        }
    }
}

/// The shape for this change, made if it is new.
fn find(
    session: &mut Session,
    table: &mut Table,
    change: &Change,
    on_conflict: OnConflict,
) -> Result<Option<At>> {
    let (old, new) = match &change.row {
        RowChange::Insert { .. } => {
            if table.shapes.insert.is_none() {
                table.shapes.insert = Some(insert(session, table, on_conflict)?);
            }
            return Ok(Some(At::Insert));
        }
        RowChange::Update { old, new } => (old.as_ref(), Some(new)),
        RowChange::Delete { old } => (Some(old), None),
    };
    let mut key = std::mem::take(&mut table.shapes.scratch);
    describe(&mut key, table, old, new);
    let known = table.shapes.others.iter().position(|(known, _)| *known == key);
    let index = match known {
        Some(index) => index,
        None => {
            if table.shapes.others.len() >= MOST {
                table.shapes.others.clear();
            }
            let row = matching(table, change, old, new)?;
            let shape = match new {
                Some(new) => update(session, table, old, new, row, on_conflict)?,
                None => {
                    let id = session.statement(&statement::delete(table, &row))?;
                    Some(Shape { id, new: Columns::new(), equal: row.equal, may_miss: true })
                }
            };
            table.shapes.others.push((key.clone(), shape));
            table.shapes.others.len() - 1
        }
    };
    table.shapes.scratch = key;
    Ok(Some(At::Other(index)))
}

/// Writes into `key` all that the statement's text depends on beside the table.
fn describe(key: &mut Vec<u16>, table: &Table, old: Option<&OldRow>, new: Option<&Tuple>) {
    const NEXT: u16 = u16::MAX;
    key.clear();
    let kind = match old {
        None => 0,
        Some(OldRow::Key(_)) => 1,
        Some(OldRow::Full(_)) => 2,
    };
    let moved = new.is_some_and(|new| identity_may_change(table, old, new));
    key.push(kind | u16::from(new.is_some()) << 2 | u16::from(moved) << 3);
    let places = |row: &Tuple, wanted: Value<'_>, key: &mut Vec<u16>| {
        key.extend((0_u16..).zip(row.values()).filter(|(_, value)| *value == wanted).map(|(index, _)| index));
    };
    if let Some(new) = new {
        places(new, Value::Unchanged, key);
    }
    key.push(NEXT);
    if let Some(OldRow::Full(old)) = old {
        places(old, Value::Null, key);
    }
}

/// How the row to change is found.
fn matching(table: &Table, change: &Change, old: Option<&OldRow>, new: Option<&Tuple>) -> Result<Match> {
    let relation = &table.relation;
    let (columns, any): (Columns, bool) = match old {
        Some(OldRow::Full(_)) if !table.primary_key.is_empty() => {
            let mut key = table.primary_key.clone();
            key.sort_unstable();
            (key, false)
        }
        Some(OldRow::Full(_)) => ((0..relation.columns.len()).collect(), true),
        Some(OldRow::Key(_)) | None => (relation.key_columns().map(|(index, _)| index).collect(), false),
    };
    let Some(row) = old.map(OldRow::tuple).or(new) else { return Err(unidentified(change)) };
    if (columns.is_empty() && !any) || columns.iter().any(|&index| row.get(index) == Some(Value::Unchanged)) {
        return Err(unidentified(change));
    }
    let (null, equal) = columns.into_iter().partition(|&index| row.get(index) == Some(Value::Null));
    Ok(Match { equal, null, any })
}

fn unidentified(change: &Change) -> Error {
    Error::rejected(format!(
        "the row of {} changed at {} came without its identity",
        change.relation, change.lsn
    ))
    .hint("give the table a primary key, or `alter table .. replica identity full` at the source")
}

fn insert(session: &mut Session, table: &Table, on_conflict: OnConflict) -> Result<Shape> {
    let columns: Columns = (0..table.relation.columns.len()).filter(|&index| table.writable(index)).collect();
    let existing = match on_conflict {
        OnConflict::Error => Existing::Fails,
        OnConflict::Update => Existing::IsReplaced,
        OnConflict::Nothing => Existing::Stays,
    };
    let id = session.statement(&statement::insert(table, &columns, existing))?;
    let may_miss = existing == Existing::Stays;
    Ok(Shape { id, new: columns, equal: Columns::new(), may_miss })
}

/// The statement of an update; `None` when there is nothing to set.
fn update(
    session: &mut Session,
    table: &Table,
    old: Option<&OldRow>,
    new: &Tuple,
    row: Match,
    on_conflict: OnConflict,
) -> Result<Option<Shape>> {
    let may_miss = on_conflict == OnConflict::Nothing;
    let writable = |index: &usize| table.writable(*index);
    let sent: Columns = (0_usize..)
        .zip(new.values())
        .filter(|(index, value)| *value != Value::Unchanged && writable(index))
        .map(|(index, _)| index)
        .collect();
    let settable: Columns = sent.iter().copied().filter(|&index| table.settable(index)).collect();
    let mut set: Columns =
        settable.iter().copied().filter(|index| old.is_some() || !row.equal.contains(index)).collect();
    if identity_may_change(table, old, new) {
        let sql = statement::update_identity(table, &sent, &set, &row, may_miss);
        let id = session.statement(&sql)?;
        return Ok(Some(Shape { id, new: sent, equal: row.equal, may_miss }));
    }
    if set.is_empty() {
        set = settable;
    }
    if set.is_empty() {
        return Ok(None);
    }
    let whole = new.values().all(|value| value != Value::Unchanged);
    let (sql, new) = match on_conflict {
        OnConflict::Update if whole && !table.arbiter.is_empty() => {
            (statement::upsert(table, &sent, &set, &row), sent)
        }
        OnConflict::Error | OnConflict::Update => {
            (statement::guarded(&statement::update(table, &set, &row)), set)
        }
        OnConflict::Nothing => (statement::update(table, &set, &row), set),
    };
    let id = session.statement(&sql)?;
    Ok(Some(Shape { id, new, equal: row.equal, may_miss }))
}

/// Whether a GENERATED ALWAYS identity was sent that is not known to be what it was.
fn identity_may_change(table: &Table, old: Option<&OldRow>, new: &Tuple) -> bool {
    table.always.iter().any(|&index| {
        let key = table.relation.columns.get(index).is_some_and(|column| column.key);
        let value = || new.get(index);
        match old {
            None if key => false,
            Some(OldRow::Key(old)) if key => old.get(index) != value(),
            Some(OldRow::Full(old)) => old.get(index) != value(),
            None | Some(OldRow::Key(_)) => value() != Some(Value::Unchanged),
        }
    })
}
