//! Which tables are copied, and what a copy needs to know of each, as of the snapshot.
//!
//! Partitioned tables hold no rows: naming one copies its leaves. Names are matched as the table filter does it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::{Client, Row};

use super::ranges::Range;
use super::schema::Selection;
use crate::config::plan;
use crate::config::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::event::{Column, Relation, ReplicaIdentity, Tuple, Value};
use crate::pipeline::decode::{column, Described};
use crate::pipeline::filter::Filter;
use crate::postgres::sql::{self, ident};

/// A table whose rows are copied.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name and columns, as the stream would describe it; generated columns are not among them.
    pub relation: Arc<Relation>,
    /// `attnum` of each column.
    pub numbers: Vec<i16>,
    /// Type of each column; of a domain, the type below it: as the server describes a column.
    pub types: Vec<u32>,
    /// Declared type of each column as text, qualified, with length.
    pub type_names: Vec<String>,
    /// `pg_class.relfilenode`: another one means that the table was rewritten.
    pub file: u32,
    /// Pages of the table itself.
    pub pages: u64,
    /// Bytes on disk, oversized values included.
    pub bytes: u64,
    /// Every column's type can be sent and received in binary form.
    pub binary: bool,
    /// Why it cannot be read, when we know it cannot.
    pub unreadable: Option<String>,
}

/// A table or partitioned table that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `pg_class.oid` at the source.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// This login may read it.
    pub readable: bool,
    /// It is a partition of another one that is asked for as well.
    pub within: bool,
}

/// What is copied.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// Tables with rows to copy, the largest first.
    pub tables: Vec<Table>,
    /// Every table asked for, in the order of `selection.tables`.
    pub asked: Vec<Asked>,
    /// What the schema is made of.
    pub selection: Selection,
    /// Names of all schemas touched.
    pub schemas: BTreeSet<String>,
}

impl Found {
    /// Leaves out all tables but those.
    pub fn keep(&mut self, oids: &std::collections::HashSet<u32>) {
        self.tables.retain(|table| oids.contains(&table.relation.oid));
        self.asked.retain(|table| oids.contains(&table.oid));
        self.selection.tables.retain(|oid| oids.contains(oid));
    }

    /// Whether the same tables were found in the same form: sizes do not matter.
    pub fn is_as(&self, other: &Self) -> bool {
        let form = |table: &Table| Table { pages: 0, bytes: 0, ..table.clone() };
        let forms = |found: &Self| {
            let mut forms: Vec<Table> = found.tables.iter().map(form).collect();
            forms.sort_by_key(|table| table.relation.oid);
            forms
        };
        let names = |found: &Self| found.asked.iter().cloned().collect::<BTreeSet<_>>();
        names(self) == names(other) && forms(self) == forms(other)
    }
}

/// The patterns of a snapshot.
#[derive(Debug, Clone)]
pub struct Patterns {
    tables: Filter,
    excluded: Filter,
    schema_only: Filter,
}

/// Tables and partitioned tables that are nobody's but the user's, each with its ancestors.
const RELATIONS: &str = "select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text, c.relfilenode, \
    pg_catalog.has_schema_privilege(n.oid, 'usage') and (pg_catalog.has_table_privilege(c.oid, 'select') or not exists ( \
        select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
        and not pg_catalog.has_column_privilege(c.oid, a.attnum, 'select'))), \
    array(select pn.nspname::text from pg_catalog.pg_partition_ancestors(c.oid) p join pg_catalog.pg_class pc on pc.oid = p.relid \
        join pg_catalog.pg_namespace pn on pn.oid = pc.relnamespace where c.relispartition order by p.relid), \
    array(select pc.relname::text from pg_catalog.pg_partition_ancestors(c.oid) p join pg_catalog.pg_class pc on pc.oid = p.relid \
        where c.relispartition order by p.relid) \
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' \
    and n.nspname not in ('information_schema', 'pgstream', 'pgstream_sink') \
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        and d.objid = c.oid and d.deptype = 'e') \
    order by 2, 3";

/// Pages of a table itself, and bytes with what is beside it. It waits for whoever holds a table exclusively: only those asked for are asked about.
const SIZES: &str = "select w.oid, \
    coalesce(pg_catalog.pg_relation_size(w.oid), 0) / pg_catalog.current_setting('block_size')::bigint, \
    coalesce(pg_catalog.pg_table_size(w.oid), 0) from unnest($1::oid[]) w (oid)";

/// Columns with their type, the type below a domain, and whether they identify a row.
const COLUMNS: &str = "with recursive base (root, oid, typtype, typbasetype) as ( \
        select t.oid, t.oid, t.typtype, t.typbasetype from pg_catalog.pg_type t \
        where t.oid in (select atttypid from pg_catalog.pg_attribute where attrelid = any ($1)) \
        union all select b.root, t.oid, t.typtype, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.typbasetype \
        where b.typtype = 'd') \
    select a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, \
        coalesce(c.relreplident = 'f' or a.attnum = any (i.indkey::smallint[]), false), tn.nspname::text, t.typname::text, \
        pg_catalog.format_type(a.atttypid, a.atttypmod), b.oid \
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
    join base b on b.root = a.atttypid and b.typtype <> 'd' join pg_catalog.pg_type t on t.oid = b.oid \
    join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace \
    left join pg_catalog.pg_index i on i.indrelid = c.oid \
        and (c.relreplident = 'd' and i.indisprimary or c.relreplident = 'i' and i.indisreplident) \
    where a.attrelid = any ($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by 1, 2";

/// Types that have no binary form, or hold one that has none.
const NOT_BINARY: &str = "with recursive part (root, oid) as ( \
        select distinct a.atttypid, a.atttypid from pg_catalog.pg_attribute a \
        where a.attrelid = any ($1) and a.attnum > 0 and not a.attisdropped \
        union select p.root, x.oid from part p join pg_catalog.pg_type t on t.oid = p.oid cross join lateral ( \
            select t.typelem where t.typelem <> 0 union all select t.typbasetype where t.typbasetype <> 0 \
            union all select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid or r.rngmultitypid = t.oid \
            union all select a.atttypid from pg_catalog.pg_attribute a \
                where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) x (oid)) \
    select distinct p.root from part p join pg_catalog.pg_type t on t.oid = p.oid where t.typsend = 0 or t.typreceive = 0";

impl Table {
    /// Its name as it stands in SQL.
    pub fn name(&self) -> String {
        format!("{}.{}", ident(&self.relation.schema), ident(&self.relation.name))
    }

    /// Its columns as they stand in a SELECT list; empty when it has none.
    pub fn columns(&self) -> String {
        let columns: Vec<String> = self.relation.columns.iter().map(|column| ident(&column.name)).collect();
        columns.join(", ")
    }

    /// The COPY that reads a range.
    pub fn copy_out(&self, range: Range, format: &str, filter: Option<&str>) -> String {
        let mut conditions = Vec::new();
        if range.from > 0 || range.to.is_some() {
            conditions.push(format!("ctid >= '({},0)'::pg_catalog.tid", range.from));
        }
        conditions.extend(range.to.map(|to| format!("ctid < '({to},0)'::pg_catalog.tid")));
        conditions.extend(filter.map(|filter| format!("({filter})")));
        let place = if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        };
        format!(
            "copy (select {} from only {}{place}) to stdout (format {format})",
            self.columns(),
            self.name()
        )
    }
}

impl Patterns {
    /// Checks the patterns of a snapshot.
    ///
    /// # Errors
    /// Fatal, naming the pattern that is malformed.
    pub fn new(snapshot: &Snapshot) -> Result<Self> {
        let noted = plan::Filter {
            include: snapshot.tables.clone(),
            exclude: snapshot.excluded.clone(),
            ..plan::Filter::default()
        };
        Ok(Self { schema_only: only(&snapshot.schema_only)?, ..Self::of(&noted)? })
    }

    /// Patterns as they were noted: what is asked for, and what of it is left out.
    ///
    /// # Errors
    /// Fatal, naming the pattern that is malformed.
    pub fn of(noted: &plan::Filter) -> Result<Self> {
        Ok(Self {
            tables: only(&noted.include)?,
            excluded: only(&noted.exclude)?,
            schema_only: Filter::default(),
        })
    }

    /// Whether everything in the database is asked for.
    pub fn want_all(&self) -> bool {
        self.tables.covers_all() && self.excluded.is_open()
    }

    /// Whether everything in that schema is asked for.
    pub fn want_schema(&self, schema: &str) -> bool {
        self.tables.covers(schema)
    }

    /// Whether a table of that name is asked for, by its own name or by that of a table it is a partition of.
    pub fn wants(&self, names: &[(&str, &str)]) -> bool {
        matches(&self.tables, names) && !self.excludes(names)
    }

    fn excludes(&self, names: &[(&str, &str)]) -> bool {
        !self.excluded.is_open() && matches(&self.excluded, names)
    }

    fn without_rows(&self, names: &[(&str, &str)]) -> bool {
        !self.schema_only.is_open() && matches(&self.schema_only, names)
    }
}

/// A filter that passes only those tables.
fn only(patterns: &[String]) -> Result<Filter> {
    Filter::new(&plan::Filter { include: patterns.to_vec(), ..plan::Filter::default() })
}

fn matches(filter: &Filter, names: &[(&str, &str)]) -> bool {
    names.iter().any(|(schema, table)| filter.passes(schema, table))
}

/// Finds the tables that `patterns` ask for. `client` is within the snapshot.
///
/// # Errors
/// Fatal when a table asked for by its name does not exist.
pub async fn find(client: &Client, patterns: &Patterns) -> Result<Found> {
    let rows = client.query(RELATIONS, &[]).await.map_err(sql::of)?;
    let (mut found, mut known) = (Found::default(), BTreeSet::new());
    let mut wanted = Vec::new();
    for row in &rows {
        let (oid, schema, name): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        let ancestors: (Vec<String>, Vec<String>) = (row.get(7), row.get(8));
        let mut names = vec![(schema.as_str(), name.as_str())];
        names.extend(ancestors.0.iter().map(String::as_str).zip(ancestors.1.iter().map(String::as_str)));
        known.insert((schema.clone(), name.clone()));
        if patterns.wants(&names) {
            let within = names.iter().any(|parent| *parent != names[0] && patterns.wants(&[*parent]));
            found.asked.push(Asked {
                oid,
                schema: schema.clone(),
                name: name.clone(),
                readable: row.get(6),
                within,
            });
            found.schemas.insert(schema.clone());
            if row.get::<_, String>(3) == "r" && !patterns.without_rows(&names) {
                wanted.push(row);
            }
        } else {
            found.selection.without.push(oid);
        }
    }
    for (schema, name) in patterns.tables.named() {
        if !known.contains(&(schema.to_owned(), name.to_owned())) {
            return Err(Error::fatal(format!("there is no table {schema}.{name} to copy at the source"))
                .hint(
                    "check the names of the tables to copy (schema.table; without a schema, public is meant)",
                ));
        }
    }
    let sizes = sizes(client, &found.asked).await?;
    let bytes = |oid: u32| std::cmp::Reverse(sizes.get(&oid).map_or(0, |size| size.bytes));
    found.asked.sort_by_key(|asked| bytes(asked.oid));
    wanted.sort_by_key(|row: &&Row| bytes(row.get(0)));
    found.selection.tables = found.asked.iter().map(|asked| asked.oid).collect();
    found.selection.whole = patterns.want_all();
    let schemas =
        client.query("select nspname::text from pg_catalog.pg_namespace", &[]).await.map_err(sql::of)?;
    let schemas = schemas.iter().map(|row| row.get::<_, String>(0)).filter(|schema| !is_systems(schema));
    found.selection.schemas = schemas.filter(|schema| patterns.tables.covers(schema)).collect();
    found.tables = describe(client, &wanted, &sizes).await?;
    Ok(found)
}

fn is_systems(schema: &str) -> bool {
    schema.starts_with("pg_") || matches!(schema, "information_schema" | "pgstream" | "pgstream_sink")
}

/// Patterns that mean just those tables; those that are gone are left out.
pub async fn names(client: &Client, oids: &[u32]) -> Result<Vec<String>> {
    let sql = "select pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c \
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = any ($1)";
    let rows = client.query(sql, &[&oids]).await.map_err(sql::of)?;
    Ok(rows.iter().map(|row| format!("{}.{}", row.get::<_, String>(0), row.get::<_, String>(1))).collect())
}

/// The newest document of each of those schemas, as rows of `pgstream.schema_log`; none where that table is not there.
pub async fn schema_documents(
    client: &Client,
    schemas: &BTreeSet<String>,
) -> Result<Vec<(Arc<Relation>, Tuple)>> {
    let sql =
        "select c.oid from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass('pgstream.schema_log')";
    let Some(log) = client.query_opt(sql, &[]).await.map_err(sql::of)? else { return Ok(Vec::new()) };
    let oid: u32 = log.get(0);
    let columns = columns(client, &[oid]).await?.remove(&oid).unwrap_or_default();
    let mut columns: Vec<Column> = columns.into_iter().map(|attribute| attribute.column).collect();
    for column in columns.iter_mut().filter(|column| &*column.name == "id") {
        column.type_name = "pgstream.xid".into();
    }
    let texts: Vec<String> =
        columns.iter().map(|column| format!("l.{}::text", ident(&column.name))).collect();
    let newest = format!(
        "select distinct on (l.schema_name) {} from pgstream.schema_log l where l.schema_name = any ($1) \
         order by l.schema_name, l.version desc",
        texts.join(", ")
    );
    let (schema, name) = ("pgstream".into(), "schema_log".into());
    let relation = Arc::new(Relation { oid, schema, name, identity: ReplicaIdentity::Default, columns });
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let rows = client.query(&newest, &[&schemas]).await.map_err(sql::of)?;
    let document = |row: &Row| {
        let texts = (0..row.len()).map(|index| row.get::<_, Option<&str>>(index));
        let values = texts.map(|text| text.map_or(Value::Null, |text| Value::Text(text.as_bytes())));
        (Arc::clone(&relation), Tuple::from_values(values))
    };
    Ok(rows.iter().map(document).collect())
}

/// A column as the catalogue has it.
struct Attribute {
    number: i16,
    declared: u32,
    base: u32,
    type_name: String,
    column: Column,
}

/// Columns of tables, by the table's oid.
type Columns = HashMap<u32, Vec<Attribute>>;

async fn columns(client: &Client, oids: &[u32]) -> Result<Columns> {
    let mut columns = Columns::new();
    for row in client.query(COLUMNS, &[&oids]).await.map_err(sql::of)? {
        let (declared, base_schema, base): (u32, String, String) = (row.get(3), row.get(6), row.get(7));
        let described = Described::new(&base_schema, &base);
        let name: String = row.get(2);
        let column = column(name.into(), declared, row.get(4), row.get(5), Some(&described));
        let attribute =
            Attribute { number: row.get(1), declared, base: row.get(9), type_name: row.get(8), column };
        columns.entry(row.get(0)).or_default().push(attribute);
    }
    Ok(columns)
}

/// How large a table is.
#[derive(Debug, Default, Clone, Copy)]
struct Size {
    pages: u64,
    bytes: u64,
}

/// The sizes of those tables, by oid.
async fn sizes(client: &Client, asked: &[Asked]) -> Result<HashMap<u32, Size>> {
    let oids: Vec<u32> = asked.iter().map(|asked| asked.oid).collect();
    let number = |row: &Row, index: usize| u64::try_from(row.get::<_, i64>(index)).unwrap_or(0);
    let rows = client.query(SIZES, &[&oids]).await.map_err(sql::of)?;
    Ok(rows.iter().map(|row| (row.get(0), Size { pages: number(row, 1), bytes: number(row, 2) })).collect())
}

/// Columns and types of the tables.
async fn describe(client: &Client, rows: &[&Row], sizes: &HashMap<u32, Size>) -> Result<Vec<Table>> {
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let not_binary: BTreeSet<u32> =
        client.query(NOT_BINARY, &[&oids]).await.map_err(sql::of)?.iter().map(|row| row.get(0)).collect();
    let mut columns = columns(client, &oids).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let oid = row.get(0);
            let size = sizes.get(&oid).copied().unwrap_or_default();
            table(row, columns.remove(&oid).unwrap_or_default(), &not_binary, size)
        })
        .collect())
}

fn table(row: &Row, columns: Vec<Attribute>, not_binary: &BTreeSet<u32>, size: Size) -> Table {
    let (schema, name): (String, String) = (row.get(1), row.get(2));
    let identity = match row.get::<_, String>(4).as_str() {
        "n" => ReplicaIdentity::Nothing,
        "f" => ReplicaIdentity::Full,
        "i" => ReplicaIdentity::Index,
        _ => ReplicaIdentity::Default,
    };
    let readable: bool = row.get(6);
    let unreadable =
        (!readable).then(|| format!("permission denied for table {schema}.{name}: grant select on it"));
    let numbers = columns.iter().map(|column| column.number).collect();
    let types = columns.iter().map(|column| column.base).collect();
    let type_names = columns.iter().map(|column| column.type_name.clone()).collect();
    let binary = columns.iter().all(|column| !not_binary.contains(&column.declared));
    let relation = Relation {
        oid: row.get(0),
        schema: schema.into(),
        name: name.into(),
        identity,
        columns: columns.into_iter().map(|attribute| attribute.column).collect(),
    };
    Table {
        relation: Arc::new(relation),
        numbers,
        binary,
        types,
        type_names,
        file: row.get(5),
        pages: size.pages,
        bytes: size.bytes,
        unreadable,
    }
}
