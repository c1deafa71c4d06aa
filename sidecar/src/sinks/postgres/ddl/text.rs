//! Understanding the text of a DDL event with PostgreSQL's own parser, never with patterns.
//!
//! Without the extension an event only has the string its client sent, which may hold several statements, or only call a function. Events of one
//! string come in the order of its statements, so each is given the next statement that has its tag and names one of its objects.

use pg_query::protobuf::{AlterTableType, PartitionCmd, Token};
use pg_query::{NodeEnum, ParserOptions};

use super::super::statement::{ident, literal};
use super::tag;
use crate::event::Ddl;

/// One statement of a string.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// Its own text.
    pub(super) text: String,
    /// What it says.
    pub(super) node: NodeEnum,
}

/// The string that events are being aligned with, and how far we are in it.
#[derive(Debug, Default)]
pub(super) struct Script {
    sql: String,
    statements: Vec<Statement>,
    next: usize,
}

/// The statements of a string; `None` when the parser does not take it.
pub(super) fn parse(sql: &str, settings: &[(String, String)]) -> Option<Vec<Statement>> {
    let off = |name: &str| settings.iter().any(|(key, value)| key == name && value == "off");
    let options = match off("standard_conforming_strings") {
        true => ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS,
        false => ParserOptions::DEFAULT,
    };
    let parsed = pg_query::parse(sql, options).ok()?;
    let statement = |raw: pg_query::protobuf::RawStmt| {
        let start = usize::try_from(raw.stmt_location).ok()?;
        let end = match usize::try_from(raw.stmt_len).ok()? {
            0 => sql.len(),
            length => start + length,
        };
        let text = sql.get(start..end)?.trim().to_owned();
        Some(Statement { text, node: raw.stmt?.node? })
    };
    parsed.protobuf.stmts.into_iter().map(statement).collect()
}

impl Script {
    /// The statement that this event came from, if its string holds it.
    pub(super) fn statement(&mut self, ddl: &Ddl) -> Option<Statement> {
        let sql = ddl.sql.as_deref()?;
        if self.sql != sql {
            let statements = parse(sql, &ddl.settings).unwrap_or_default();
            *self = Self { sql: sql.to_owned(), statements, next: 0 };
        }
        // Behind the last one found; from the start again when the same string was sent again.
        let order = (self.next..self.statements.len()).chain(0..self.next);
        let found = order.into_iter().find(|&index| fits(&self.statements[index].node, ddl))?;
        self.next = found + 1;
        self.statements.get(found).cloned()
    }

    /// Whether the script of an extension did this, and the target's own copy of the script will: nothing else in the string can have.
    /// (What such a script makes belongs to its extension and is not captured, what it drops is.)
    pub(super) fn by_extension(&self, ddl: &Ddl) -> bool {
        let extension = |node: &NodeEnum| {
            matches!(node, NodeEnum::CreateExtensionStmt(_) | NodeEnum::AlterExtensionStmt(_))
        };
        let calls = |node: &NodeEnum| match node {
            NodeEnum::SelectStmt(select) => select.into_clause.is_none(),
            NodeEnum::DoStmt(_) | NodeEnum::CallStmt(_) | NodeEnum::ExecuteStmt(_) => true,
            _ => false,
        };
        let nodes = || self.statements.iter().map(|statement| &statement.node);
        ddl.command_tag.starts_with("DROP ") && nodes().any(extension) && !nodes().any(calls)
    }
}

/// Whether an event can have come from this statement.
fn fits(node: &NodeEnum, ddl: &Ddl) -> bool {
    if tag::command_tag(node).as_deref() != Some(&ddl.command_tag) {
        return false;
    }
    let names = tag::names(node);
    let tables = ddl.tables.as_array().map_or(&[][..], Vec::as_slice);
    let touched = ddl
        .objects
        .iter()
        .filter_map(|object| object.name.as_deref())
        .chain(tables.iter().filter_map(|table| table.get("name")?.as_str()));
    let mut touched = touched.peekable();
    names.is_empty()
        || touched.peek().is_none()
        || touched.any(|name| names.iter().any(|known| known == name))
}

/// A statement that can run inside a transaction: without CONCURRENTLY.
pub(super) fn in_transaction(statement: Statement, settings: &[(String, String)]) -> Statement {
    if !concurrent(&statement.node) {
        return statement;
    }
    let Ok(scanned) = pg_query::scan(&statement.text) else { return statement };
    let word = scanned.tokens.iter().find(|token| token.token == Token::Concurrently as i32);
    let range =
        word.and_then(|word| Some(usize::try_from(word.start).ok()?..usize::try_from(word.end).ok()?));
    let Some(range) = range.filter(|range| statement.text.get(range.clone()).is_some()) else {
        return statement;
    };
    let mut text = statement.text.clone();
    text.replace_range(range, "");
    match parse(&text, settings).and_then(|mut statements| statements.pop()) {
        Some(plain) if !concurrent(&plain.node) => {
            Statement { text: keeping_constraint(&statement.node, plain.text), ..plain }
        }
        _ => statement,
    }
}

/// DETACH PARTITION CONCURRENTLY leaves the partition's bounds behind as a CHECK constraint, the plain form does not.
fn keeping_constraint(node: &NodeEnum, detach: String) -> String {
    let Some(partition) = detached(node).and_then(|command| command.name.as_ref()) else { return detach };
    let name = match partition.schemaname.as_str() {
        "" => ident(&partition.relname),
        schema => format!("{}.{}", ident(schema), ident(&partition.relname)),
    };
    let block = format!(
        "declare bounds text := pg_catalog.pg_get_partition_constraintdef({name}::pg_catalog.regclass); begin \
         execute {detach}; execute {add} || bounds || ')'; end",
        name = literal(&name),
        detach = literal(&detach),
        add = literal(&format!("alter table {name} add check (")),
    );
    format!("do {}", literal(&block))
}

fn concurrent(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::IndexStmt(index) => index.concurrent,
        NodeEnum::DropStmt(drop) => drop.concurrent,
        node => detached(node).is_some_and(|command| command.concurrent),
    }
}

/// The DETACH PARTITION that a statement is.
fn detached(node: &NodeEnum) -> Option<&PartitionCmd> {
    let NodeEnum::AlterTableStmt(alter) = node else { return None };
    match alter.cmds.first()?.node.as_ref()? {
        NodeEnum::AlterTableCmd(command) if command.subtype == AlterTableType::AtDetachPartition as i32 => {
            match command.def.as_ref()?.node.as_ref()? {
                NodeEnum::PartitionCmd(partition) => Some(partition),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A table made from a query, whose text cannot be repeated: what the query read may be gone or be different here.
pub(super) fn is_made_from_query(node: &NodeEnum) -> bool {
    matches!(tag::command_tag(node).as_deref(), Some("CREATE TABLE AS" | "SELECT INTO"))
}

/// The beginning of a statement, for a message; only its tag when it may hold a secret.
pub(super) fn shown(ddl: &Ddl, sql: &str) -> String {
    const LONGEST: usize = 200;
    let secret = ["SERVER", "USER MAPPING", "SUBSCRIPTION", "FOREIGN DATA WRAPPER", "ROLE", "FOREIGN TABLE"];
    if secret.iter().any(|kind| ddl.command_tag.ends_with(kind)) {
        return ddl.command_tag.clone();
    }
    let mut text: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}
