//! Reads the table of contents of a `pg_dump --format=custom` archive: every object with its identity, its SQL and what it needs.
//!
//! ```text
//! "PGDMP" version sizes format compression date names   then per entry
//!   id · class, oid · tag · kind · section · definition · drop · schema · tablespace · access method · owner · needs* · data offset
//! ```
//!
//! Reading the archive, and not a script made of it, means that nothing has to be searched for in text: no function body, comment or
//! name can be taken for the start of a statement, and the statements carry no state from one to the next. The format is that of
//! `pg_backup_archiver.c`; it changes seldom and says its version, and an unknown one is refused.

use crate::error::{Error, Result};

/// Versions of the format (1.x) that are read here: PostgreSQL 9.0 to 18.
const VERSIONS: std::ops::RangeInclusive<u8> = 12..=16;

/// When an entry is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Section {
    /// With what it belongs to.
    #[default]
    None,
    /// Before the rows.
    Before,
    /// The rows themselves.
    Data,
    /// After the rows.
    After,
}

/// One entry of an archive.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    /// Number within the archive.
    pub(super) id: u32,
    /// Catalogue the object is in (`pg_class`, ...); 0 for what has no row of its own.
    pub(super) class: u32,
    /// Its oid there; 0 likewise.
    pub(super) oid: u32,
    /// Its name for people, without the schema.
    pub(super) tag: String,
    /// `TABLE`, `FK CONSTRAINT`, `ACL`, ...
    pub(super) kind: String,
    /// When it is restored.
    pub(super) section: Section,
    /// The statements that make it.
    pub(super) definition: String,
    /// The statement that drops it; empty for what goes with something else.
    pub(super) drop: String,
    /// Schema, or empty.
    pub(super) schema: String,
    /// Tablespace, or empty for the default.
    pub(super) tablespace: String,
    /// Table access method, or empty.
    pub(super) access_method: String,
    /// Whether it is a partitioned table (known since version 1.16).
    pub(super) partitioned: bool,
    /// Role that owns it, or empty.
    pub(super) owner: String,
    /// Entries that must be there first.
    pub(super) needs: Vec<u32>,
}

/// The entries of an archive in the order they were dumped: each after those it needs.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Item>> {
    let mut reader = Reader { bytes, width: 4 };
    let minor = reader.head()?;
    let count = reader.int()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(reader.item(minor)?);
    }
    Ok(items)
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes of an integer.
    width: usize,
}

impl<'a> Reader<'a> {
    /// Everything before the number of entries. Returns the minor version.
    fn head(&mut self) -> Result<u8> {
        if self.take(5)? != b"PGDMP" {
            return Err(Error::fatal("pg_dump did not write a custom archive"));
        }
        let (major, minor, _revision) = (self.byte()?, self.byte()?, self.byte()?);
        if major != 1 || !VERSIONS.contains(&minor) {
            return Err(Error::fatal(format!("pg_dump wrote an archive of version {major}.{minor}, which is not known here"))
                .hint("use a newer pgstream, or put the pg_dump of an older version that the server allows first in PATH"));
        }
        self.width = usize::from(self.byte()?);
        let (offset, format) = (self.byte()?, self.byte()?);
        if offset != 8 || format != 1 || self.width != 4 {
            return Err(damaged());
        }
        match minor {
            15.. => drop(self.byte()?),
            _ => drop(self.int()?),
        }
        for _ in 0..7 {
            self.int()?;
        }
        for _ in 0..3 {
            self.text()?;
        }
        Ok(minor)
    }

    fn item(&mut self, minor: u8) -> Result<Item> {
        let id = self.int()?.try_into().map_err(|_| damaged())?;
        self.int()?;
        let (class, oid) = (self.number()?, self.number()?);
        let (tag, kind) = (self.text()?, self.text()?);
        let section = match self.int()? {
            2 => Section::Before,
            3 => Section::Data,
            4 => Section::After,
            _ => Section::None,
        };
        let (definition, drop) = (self.text()?, self.text()?);
        self.text()?;
        let (schema, tablespace) = (self.text()?, self.text()?);
        let access_method = if minor >= 14 { self.text()? } else { String::new() };
        let partitioned = minor >= 16 && self.int()? == i64::from(b'p');
        let owner = self.text()?;
        self.text()?;
        let mut needs = Vec::new();
        while let Some(need) = self.string()? {
            needs.push(need.parse().map_err(|_| damaged())?);
        }
        needs.sort_unstable();
        needs.dedup();
        self.take(9)?;
        Ok(Item {
            id,
            class,
            oid,
            tag,
            kind,
            section,
            definition,
            drop,
            schema,
            tablespace,
            access_method,
            partitioned,
            owner,
            needs,
        })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// A sign and then the magnitude, least significant byte first.
    fn int(&mut self) -> Result<i64> {
        let negative = self.byte()? != 0;
        let bytes = self.take(self.width)?;
        let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | i64::from(*byte));
        Ok(if negative { -value } else { value })
    }

    fn string(&mut self) -> Result<Option<&'a str>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|error| {
            Error::fatal("a name or definition of the source's schema is not valid UTF-8")
                .hint("databases in encoding SQL_ASCII must hold UTF-8 in their names and definitions")
                .because(error)
        })
    }

    fn text(&mut self) -> Result<String> {
        Ok(self.string()?.unwrap_or_default().to_owned())
    }

    fn number(&mut self) -> Result<u32> {
        self.string()?.unwrap_or("0").parse().map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    Error::fatal("the archive of pg_dump cannot be read")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn put_int(out: &mut Vec<u8>, value: i32) {
        out.push(u8::from(value < 0));
        out.extend(value.unsigned_abs().to_le_bytes());
    }

    fn put(out: &mut Vec<u8>, text: Option<&str>) {
        put_int(out, text.map_or(-1, |text| text.len() as i32));
        out.extend(text.unwrap_or_default().as_bytes());
    }

    /// An archive as pg_dump of this format version would write it, with one function.
    fn archive(minor: u8, body: &str) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend([1, minor, 0, 4, 8, 1]);
        if minor >= 15 {
            out.push(0);
        } else {
            put_int(&mut out, -1);
        }
        (0..7).for_each(|_| put_int(&mut out, 1));
        (0..3).for_each(|_| put(&mut out, Some("x")));
        put_int(&mut out, 1);
        put_int(&mut out, 77);
        put_int(&mut out, 0);
        for text in ["1255", "16400", "f(integer)", "FUNCTION"] {
            put(&mut out, Some(text));
        }
        put_int(&mut out, 2);
        for text in [Some(body), Some("DROP FUNCTION s.f(a integer);\n"), None, Some("s"), None] {
            put(&mut out, text);
        }
        if minor >= 14 {
            put(&mut out, None);
        }
        if minor >= 16 {
            put_int(&mut out, 0);
        }
        for text in [Some("me"), Some("false"), Some("12"), Some("3"), Some("12"), None] {
            put(&mut out, text);
        }
        out.extend([0; 9]);
        out
    }

    #[test]
    fn every_known_version_is_read() {
        for minor in VERSIONS {
            let items = read(&archive(minor, "create function ..")).unwrap();
            let [item] = &items[..] else { panic!("{items:?}") };
            assert_eq!((item.id, item.class, item.oid, item.section), (77, 1255, 16400, Section::Before));
            assert_eq!(
                (item.tag.as_str(), item.schema.as_str(), item.owner.as_str()),
                ("f(integer)", "s", "me")
            );
            assert_eq!(item.needs, [3, 12]);
        }
        let error = read(&archive(99, "")).unwrap_err().to_string();
        assert!(error.contains("1.99"), "{error}");
    }

    #[test]
    fn a_body_is_never_taken_for_an_entry() {
        let body = "--\n-- TOC entry 78 (class 1259 OID 16401)\n-- Name: t; Type: TABLE\n--\n\ndrop table t;\n\\unrestrict x\n";
        assert_eq!(read(&archive(14, body)).unwrap()[0].definition, body);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = archive(14, "body");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}
