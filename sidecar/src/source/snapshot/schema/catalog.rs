//! What the archive does not say about the source's objects, read inside the snapshot.

use std::collections::{HashMap, HashSet};

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::choose::OURS;
use super::Selection;
use crate::error::Result;
use crate::postgres::sql;

/// `pg_class`, as the archive names it.
pub(super) const RELATION: u32 = 1259;

/// Objects that belong to a table, by catalogue and oid: `what`, class, oid, table. A foreign key has two rows, its own table first.
const OBJECTS: &str = "
    select 'of', tableoid, oid, conrelid from pg_catalog.pg_constraint where conrelid <> 0
    union all select 'to', tableoid, oid, confrelid from pg_catalog.pg_constraint where confrelid <> 0
    union all select 'of', 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid, indrelid from pg_catalog.pg_index where indexrelid >= 16384
    union all select 'of', tableoid, oid, tgrelid from pg_catalog.pg_trigger where not tgisinternal
    union all select 'of', tableoid, oid, ev_class from pg_catalog.pg_rewrite where oid >= 16384
    union all select 'of', tableoid, oid, polrelid from pg_catalog.pg_policy
    union all select 'of', tableoid, oid, stxrelid from pg_catalog.pg_statistic_ext
    union all select 'of', tableoid, oid, adrelid from pg_catalog.pg_attrdef
    union all select 'of', d.classid, d.objid, d.refobjid from pg_catalog.pg_depend d
        join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refclassid = d.classid and d.deptype in ('a', 'i')
    union all select case when c.relispartition then 'partition' else 'child' end, 0, i.inhrelid, i.inhparent
        from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid where c.relkind <> 'I'
    union all select 'member', d.refobjid, d.refobjid, d.objid from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'e'
    union all select 'filled', 0, 0, oid from pg_catalog.pg_class where relkind = 'm' and relispopulated";

const EXTENSIONS: &str = "select e.oid, n.nspname::text from pg_catalog.pg_extension e \
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace";

/// Tables that cannot be read, and so not be locked by pg_dump either.
const UNREADABLE: &str = "
    select c.oid, n.nspname::text, c.relname::text
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and c.oid >= 16384
        and not pg_catalog.has_table_privilege(c.oid, 'select')
        and not exists (select from pg_catalog.pg_depend d where d.classid = c.tableoid and d.objid = c.oid and d.deptype = 'e')
    order by c.oid";

/// What needs a table or its row type: table, class, oid. A view depends through its rule.
const DEPENDENTS: &str = "
    select h.oid, (case when r.oid is null then d.classid else 'pg_catalog.pg_class'::pg_catalog.regclass end)::pg_catalog.oid, coalesce(r.ev_class, d.objid)
    from pg_catalog.unnest($1::pg_catalog.oid[]) h (oid)
        join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = h.oid
            or d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
                and d.refobjid in (select t.oid from pg_catalog.pg_type t where t.typrelid = h.oid)
        left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
    where d.deptype not in ('i', 'e')";

/// Facts about the source.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The table (or view) that an index, constraint, trigger, rule, policy, default or owned sequence belongs to, by class and oid.
    pub(super) of: HashMap<(u32, u32), u32>,
    /// The table that a foreign key refers to, by class and oid.
    pub(super) to: HashMap<(u32, u32), u32>,
    /// Tables that are partitions.
    pub(super) partitions: HashSet<u32>,
    /// Tables under a table, by partitioning or inheritance.
    pub(super) children: HashMap<u32, Vec<u32>>,
    /// The extension that a table is part of.
    pub(super) members: HashMap<u32, u32>,
    /// Schema of each extension.
    pub(super) extensions: HashMap<u32, String>,
    /// Materialized views that are filled.
    pub(super) filled: HashSet<u32>,
}

impl Catalog {
    /// Reads it in the snapshot `client` is in.
    pub(super) async fn read(client: &Client) -> Result<Self> {
        let mut catalog = Self::default();
        for row in client.query(OBJECTS, &[]).await.map_err(sql::of)? {
            let (what, class, oid, table): (&str, u32, u32, u32) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            catalog.add(what, class, oid, table);
        }
        for row in client.query(EXTENSIONS, &[]).await.map_err(sql::of)? {
            catalog.extensions.insert(row.get(0), row.get(1));
        }
        Ok(catalog)
    }

    fn add(&mut self, what: &str, class: u32, oid: u32, table: u32) {
        match what {
            "of" => drop(self.of.insert((class, oid), table)),
            "to" => drop(self.to.insert((class, oid), table)),
            "member" => drop(self.members.insert(table, oid)),
            "filled" => drop(self.filled.insert(table)),
            _ => {
                self.children.entry(table).or_default().push(oid);
                if what == "partition" {
                    self.partitions.insert(oid);
                }
            }
        }
    }

    /// A table and all under it.
    pub(super) fn tree(&self, table: u32) -> Vec<u32> {
        let (mut tree, mut next) = (vec![table], 0);
        while let Some(&parent) = tree.get(next) {
            let children = self.children.get(&parent).into_iter().flatten();
            let new: Vec<u32> = children.copied().filter(|child| !tree.contains(child)).collect();
            tree.extend(new);
            next += 1;
        }
        tree
    }
}

/// A table that is not wanted and that the login may not read. pg_dump locks what it dumps, and would fail on it: it is told to pass it
/// over, and then says nothing about what needs it either.
#[derive(Debug, Clone)]
pub(super) struct Hidden {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Objects that need it, by class and oid.
    pub(super) dependents: Vec<(u32, u32)>,
}

impl Hidden {
    /// As a pattern for `--exclude-table`: within quotes every character stands for itself.
    pub(super) fn pattern(&self) -> String {
        format!("{}.{}", escape_identifier(&self.schema), escape_identifier(&self.name))
    }
}

/// The hidden tables of the source.
pub(super) async fn hidden(client: &Client, selection: &Selection) -> Result<Vec<Hidden>> {
    let rows = client.query(UNREADABLE, &[]).await.map_err(sql::of)?;
    let table = |row: &tokio_postgres::Row| Hidden {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        dependents: Vec::new(),
    };
    let unwanted = |table: &Hidden| {
        let named = selection.whole || selection.tables.contains(&table.oid);
        OURS.contains(&table.schema.as_str()) || selection.without.contains(&table.oid) || !named
    };
    let mut tables: Vec<Hidden> = rows.iter().map(table).filter(unwanted).collect();
    if tables.is_empty() {
        return Ok(tables);
    }
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    for row in client.query(DEPENDENTS, &[&oids]).await.map_err(sql::of)? {
        let oid: u32 = row.get(0);
        let of = tables.iter_mut().find(|table| table.oid == oid);
        of.into_iter().for_each(|table| table.dependents.push((row.get(1), row.get(2))));
    }
    Ok(tables)
}
