//! `add column .. default ..`: the default is evaluated once, at the source, and every old row has that value. The event carries it (`stored`), so
//! here the column is added with that value as default, and then gets its real default. Else `default now()` would give other old rows.

use pg_query::protobuf::{
    self, a_const, AConst, AlterTableStmt, AlterTableType, ConstrType, Constraint, Node, TypeCast,
};
use pg_query::NodeEnum;
use serde_json::Value as Json;

use super::super::statement::ident;
use super::tag;

/// The statements to run instead of an ALTER TABLE that adds columns with stored values; `None` when it may run as it is.
pub(super) fn with_stored_values(node: &NodeEnum, tables: &Json) -> Option<Vec<String>> {
    let NodeEnum::AlterTableStmt(alter) = node else { return None };
    let mut alter = alter.clone();
    let relation = alter.relation.clone()?;
    let mut defaults = Vec::new();
    for column in added_columns(&mut alter) {
        let Some(found) = described(tables, &relation.relname, &column.colname) else { continue };
        let expression =
            default_of(column).and_then(|constraint| constraint.raw_expr.as_ref()?.node.as_ref());
        if expression.is_some_and(|node| tag::plain_constant(node) || is_text(node, &found.stored)) {
            continue;
        }
        let value = constant(&found.stored, column.type_name.clone()?);
        set_default(column, value);
        let only = if relation.inh { "" } else { "only " };
        let real = found.default.map_or("drop default".to_owned(), |real| format!("set default {real}"));
        defaults.push(format!(
            "alter table {only}{} alter column {} {real}",
            found.table,
            ident(&column.colname)
        ));
    }
    if defaults.is_empty() {
        return None;
    }
    let mut statements =
        vec![NodeEnum::AlterTableStmt(alter).deparse(pg_query::DeparseOptions::default()).ok()?];
    statements.extend(defaults);
    Some(statements)
}

/// Functions whose results decide what a rewritten table holds; an empty name stands for a sequence.
pub(super) fn functions_of_rewrite(node: &NodeEnum) -> Vec<String> {
    let NodeEnum::AlterTableStmt(alter) = node else { return Vec::new() };
    let mut found = Vec::new();
    for command in &alter.cmds {
        let Some(NodeEnum::AlterTableCmd(command)) = &command.node else { continue };
        let kinds = [AlterTableType::AtAddColumn as i32, AlterTableType::AtAlterColumnType as i32];
        let Some(def) = command.def.as_ref().filter(|_| kinds.contains(&command.subtype)) else { continue };
        if let Some(NodeEnum::ColumnDef(column)) = &def.node {
            let identity = |node: &Node| constraint_is(node, ConstrType::ConstrIdentity);
            let names = column.type_name.as_ref().map_or(&[][..], |name| &name.names);
            let serial = tag::last(names).is_some_and(|name| name.contains("serial"));
            if serial || column.constraints.iter().any(identity) {
                found.push(String::new());
            }
        }
        if let Ok(tree) = serde_json::to_value(def) {
            functions(&tree, &mut found);
        }
    }
    found
}

/// Names of the functions called anywhere in a serialized tree.
fn functions(tree: &Json, found: &mut Vec<String>) {
    match tree {
        Json::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "FuncCall" => found.extend(called(value)),
                    "SqlvalueFunction" | "SQLValueFunction" => found.push("now".to_owned()),
                    _ => {}
                }
                functions(value, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| functions(item, found)),
        _ => {}
    }
}

fn called(call: &Json) -> Option<String> {
    let name = call.get("funcname")?.as_array()?.last()?;
    let text = name.pointer("/node/String/sval").or_else(|| name.pointer("/String/sval"))?;
    text.as_str().map(str::to_owned)
}

fn added_columns(alter: &mut AlterTableStmt) -> impl Iterator<Item = &mut protobuf::ColumnDef> {
    alter.cmds.iter_mut().filter_map(|command| match &mut command.node {
        Some(NodeEnum::AlterTableCmd(command)) if command.subtype == AlterTableType::AtAddColumn as i32 => {
            match command.def.as_mut()?.node.as_mut()? {
                NodeEnum::ColumnDef(column) => Some(&mut **column),
                _ => None,
            }
        }
        _ => None,
    })
}

fn constraint_is(node: &Node, kind: ConstrType) -> bool {
    matches!(&node.node, Some(NodeEnum::Constraint(constraint)) if constraint.contype == kind as i32)
}

fn default_of(column: &protobuf::ColumnDef) -> Option<&Constraint> {
    column.constraints.iter().find_map(|node| match &node.node {
        Some(NodeEnum::Constraint(constraint)) if constraint.contype == ConstrType::ConstrDefault as i32 => {
            Some(&**constraint)
        }
        _ => None,
    })
}

fn set_default(column: &mut protobuf::ColumnDef, value: Node) {
    column.constraints.retain(|node| !constraint_is(node, ConstrType::ConstrDefault));
    let default = Constraint {
        contype: ConstrType::ConstrDefault as i32,
        raw_expr: Some(Box::new(value)),
        ..Constraint::default()
    };
    column.constraints.insert(0, Node { node: Some(NodeEnum::Constraint(Box::new(default))) });
}

fn constant(text: &str, type_name: protobuf::TypeName) -> Node {
    let string = protobuf::String { sval: text.to_owned() };
    let constant = AConst { isnull: false, location: 0, val: Some(a_const::Val::Sval(string)) };
    let arg = Node { node: Some(NodeEnum::AConst(constant)) };
    let cast = TypeCast { arg: Some(Box::new(arg)), type_name: Some(type_name), location: 0 };
    Node { node: Some(NodeEnum::TypeCast(Box::new(cast))) }
}

fn is_text(node: &NodeEnum, text: &str) -> bool {
    matches!(node, NodeEnum::AConst(AConst { val: Some(a_const::Val::Sval(string)), .. }) if string.sval == text)
}

/// What the event says of an added column.
struct Described {
    /// The altered table, quoted and qualified.
    table: String,
    stored: String,
    default: Option<String>,
}

/// Of a partitioned table only the partitions have the value stored.
fn described(tables: &Json, relation: &str, column: &str) -> Option<Described> {
    let tables = tables.as_array()?;
    let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
    let find = |table: &Json| {
        let columns = table.get("columns")?.as_array()?;
        columns.iter().find(|known| known.get("name").and_then(Json::as_str) == Some(column)).cloned()
    };
    let altered = tables.iter().find(|table| text(table, "name").as_deref() == Some(relation))?;
    let own = find(altered)?;
    let stored = text(&own, "stored")
        .or_else(|| tables.iter().filter_map(find).find_map(|other| text(&other, "stored")))?;
    Some(Described {
        table: format!("{}.{}", ident(&text(altered, "schema")?), ident(&text(altered, "name")?)),
        stored,
        default: text(&own, "default"),
    })
}
