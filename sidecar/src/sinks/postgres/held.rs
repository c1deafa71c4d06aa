//! Rows that came before the DDL that makes their table: those of CREATE TABLE AS and SELECT INTO, whose event follows the rows. They wait, in memory
//! up to a bound and then in a temporary file, until an event of the same transaction has made the table.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::event::{Change, Lsn, OldRow, Relation, RowChange, Tuple, Value};

/// Rows kept in memory; what is more goes to the file.
const MEMORY: usize = 8 << 20;

/// Changes waiting for their tables, in order.
#[derive(Default)]
pub(super) struct Held {
    relations: Vec<Arc<Relation>>,
    memory: Vec<Change>,
    bytes: usize,
    file: Option<BufWriter<File>>,
}

impl Held {
    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.file.is_none()
    }

    /// Whether changes of this table wait: later ones must wait behind them.
    pub(super) fn holds(&self, relation: &Relation) -> bool {
        self.relations.iter().any(|known| known.oid == relation.oid)
    }

    /// The first table waited for.
    pub(super) fn first(&self) -> Option<&Arc<Relation>> {
        self.relations.first()
    }

    /// Takes a change.
    pub(super) fn push(&mut self, change: Change) -> Result<()> {
        if self.bytes > MEMORY && self.file.is_none() {
            let file = temporary().map_err(|error| failed(&error))?;
            self.file = Some(BufWriter::new(file));
        }
        let index = match self.relations.iter().position(|known| **known == *change.relation) {
            Some(index) => index,
            None => {
                self.relations.push(Arc::clone(&change.relation));
                self.relations.len() - 1
            }
        };
        match &mut self.file {
            Some(file) => write(file, index as u32, &change).map_err(|error| failed(&error)),
            None => {
                self.bytes += std::mem::size_of::<Change>() + size(&change);
                self.memory.push(change);
                Ok(())
            }
        }
    }

    /// Gives everything back, in order.
    pub(super) fn take(&mut self) -> Result<Released> {
        let held = std::mem::take(self);
        let file = match held.file {
            None => None,
            Some(writer) => {
                let mut file = writer.into_inner().map_err(|error| failed(error.error()))?;
                file.seek(SeekFrom::Start(0)).map_err(|error| failed(&error))?;
                Some(BufReader::new(file))
            }
        };
        Ok(Released { relations: held.relations, memory: held.memory.into_iter(), file })
    }
}

/// Changes on their way out.
pub(super) struct Released {
    relations: Vec<Arc<Relation>>,
    memory: std::vec::IntoIter<Change>,
    file: Option<BufReader<File>>,
}

impl Released {
    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<Change>> {
        if let Some(change) = self.memory.next() {
            return Ok(Some(change));
        }
        let Some(file) = &mut self.file else { return Ok(None) };
        read(file, &self.relations).map_err(|error| failed(&error))
    }
}

fn size(change: &Change) -> usize {
    match &change.row {
        RowChange::Insert { new } => new.size(),
        RowChange::Update { old, new } => new.size() + old.as_ref().map_or(0, |old| old.tuple().size()),
        RowChange::Delete { old } => old.tuple().size(),
    }
}

/// A file that nobody else sees and that is gone with us.
fn temporary() -> std::io::Result<File> {
    let path =
        std::env::temp_dir().join(format!("pgstream-held-{}-{:x}", std::process::id(), fastrand::u64(..)));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn failed(error: &std::io::Error) -> Error {
    Error::transient(format!("cannot hold rows of a large transaction in a temporary file: {error}"))
        .hint("make room in the directory that TMPDIR names")
}

/// One record: table, position, shape of the change, rows.
fn write(out: &mut impl Write, relation: u32, change: &Change) -> std::io::Result<()> {
    let (shape, rows): (u8, [Option<&Tuple>; 2]) = match &change.row {
        RowChange::Insert { new } => (0, [Some(new), None]),
        RowChange::Update { old: None, new } => (1, [Some(new), None]),
        RowChange::Update { old: Some(OldRow::Key(old)), new } => (2, [Some(new), Some(old)]),
        RowChange::Update { old: Some(OldRow::Full(old)), new } => (3, [Some(new), Some(old)]),
        RowChange::Delete { old: OldRow::Key(old) } => (4, [Some(old), None]),
        RowChange::Delete { old: OldRow::Full(old) } => (5, [Some(old), None]),
    };
    out.write_all(&relation.to_be_bytes())?;
    out.write_all(&change.lsn.0.to_be_bytes())?;
    out.write_all(&[shape])?;
    for row in rows.into_iter().flatten() {
        out.write_all(&(row.size() as u32).to_be_bytes())?;
        for value in row.values() {
            let (kind, bytes) = match value {
                Value::Null => (b'n', None),
                Value::Unchanged => (b'u', None),
                Value::Text(bytes) => (b't', Some(bytes)),
                Value::Binary(bytes) => (b'b', Some(bytes)),
            };
            out.write_all(&[kind])?;
            if let Some(bytes) = bytes {
                out.write_all(&(bytes.len() as u32).to_be_bytes())?;
                out.write_all(bytes)?;
            }
        }
    }
    Ok(())
}

fn read(input: &mut impl Read, relations: &[Arc<Relation>]) -> std::io::Result<Option<Change>> {
    let mut head = [0; 13];
    match input.read_exact(&mut head) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [a, b, c, d, lsn @ .., shape] = head;
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let relation = relations.get(u32::from_be_bytes([a, b, c, d]) as usize).ok_or_else(broken)?;
    let columns = u16::try_from(relation.columns.len()).map_err(|_| broken())?;
    let mut row = || {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        input.read_exact(&mut bytes)?;
        Tuple::split_from(&mut Bytes::from(bytes), columns).map_err(|_| broken())
    };
    let row = match shape {
        0 => RowChange::Insert { new: row()? },
        1 => RowChange::Update { old: None, new: row()? },
        2 => RowChange::Update { new: row()?, old: Some(OldRow::Key(row()?)) },
        3 => RowChange::Update { new: row()?, old: Some(OldRow::Full(row()?)) },
        4 => RowChange::Delete { old: OldRow::Key(row()?) },
        5 => RowChange::Delete { old: OldRow::Full(row()?) },
        _ => return Err(broken()),
    };
    Ok(Some(Change { lsn: Lsn(u64::from_be_bytes(lsn)), relation: Arc::clone(relation), row, ids: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Column, ReplicaIdentity};

    fn change(relation: &Arc<Relation>, n: usize) -> Change {
        let text = "x".repeat(100_000);
        let new = Tuple::from_values([Value::Text(text.as_bytes()), Value::Null]);
        let old = Tuple::from_values([Value::Text(b"old"), Value::Unchanged]);
        let row = match n % 4 {
            0 => RowChange::Insert { new },
            1 => RowChange::Update { old: Some(OldRow::Key(old)), new },
            2 => RowChange::Update { old: None, new },
            _ => RowChange::Delete { old: OldRow::Full(old) },
        };
        Change { lsn: Lsn(n as u64), relation: Arc::clone(relation), row, ids: None }
    }

    #[test]
    fn what_is_held_comes_back_in_order_from_memory_and_file() {
        let column =
            |name: &str| Column { name: name.into(), type_oid: 25, type_name: "text".into(), key: true };
        let relation = Arc::new(Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Full,
            columns: vec![column("a"), column("b")],
        });
        let mut held = Held::default();
        for n in 0..300 {
            held.push(change(&relation, n)).unwrap();
        }
        assert!(held.file.is_some() && held.holds(&relation) && !held.is_empty());
        let mut released = held.take().unwrap();
        assert!(held.is_empty());
        for n in 0..300 {
            let back = released.next().unwrap().expect("as many as went in");
            assert_eq!(format!("{back:?}"), format!("{:?}", change(&relation, n)));
        }
        assert!(released.next().unwrap().is_none());
    }
}
