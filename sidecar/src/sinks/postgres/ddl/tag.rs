//! What a parsed statement is called and what it names: enough to tell which statement of a string an event came from.

use pg_query::protobuf::{a_const, Node, ObjectType, RangeVar};
use pg_query::NodeEnum;

/// The command tag under which event triggers see a statement; `None` for one that they do not see.
pub(super) fn command_tag(node: &NodeEnum) -> Option<String> {
    created(node)
        .map(|what| format!("CREATE {what}"))
        .or_else(|| altered(node).map(|what| format!("ALTER {what}")))
        .or_else(|| {
            Some(match node {
                NodeEnum::DropStmt(drop) => format!("DROP {}", kind(drop.remove_type)),
                NodeEnum::DropUserMappingStmt(_) => "DROP USER MAPPING".to_owned(),
                NodeEnum::DropOwnedStmt(_) => "DROP OWNED".to_owned(),
                NodeEnum::SelectStmt(select) if select.into_clause.is_some() => "SELECT INTO".to_owned(),
                NodeEnum::CreateTableAsStmt(table) if table.is_select_into => "SELECT INTO".to_owned(),
                NodeEnum::GrantStmt(grant) if grant.is_grant => "GRANT".to_owned(),
                NodeEnum::GrantStmt(_) => "REVOKE".to_owned(),
                NodeEnum::CommentStmt(_) => "COMMENT".to_owned(),
                NodeEnum::SecLabelStmt(_) => "SECURITY LABEL".to_owned(),
                NodeEnum::RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW".to_owned(),
                NodeEnum::ImportForeignSchemaStmt(_) => "IMPORT FOREIGN SCHEMA".to_owned(),
                NodeEnum::ReindexStmt(_) => "REINDEX".to_owned(),
                _ => return None,
            })
        })
}

fn created(node: &NodeEnum) -> Option<String> {
    let what = match node {
        NodeEnum::CreateSchemaStmt(_) => "SCHEMA",
        NodeEnum::CreateStmt(_) => "TABLE",
        NodeEnum::CreateForeignTableStmt(_) => "FOREIGN TABLE",
        NodeEnum::CreateTableAsStmt(table) if table.objtype == ObjectType::ObjectMatview as i32 => {
            "MATERIALIZED VIEW"
        }
        NodeEnum::CreateTableAsStmt(table) if !table.is_select_into => "TABLE AS",
        NodeEnum::IndexStmt(_) => "INDEX",
        NodeEnum::ViewStmt(_) => "VIEW",
        NodeEnum::CreateSeqStmt(_) => "SEQUENCE",
        NodeEnum::CompositeTypeStmt(_) | NodeEnum::CreateEnumStmt(_) | NodeEnum::CreateRangeStmt(_) => "TYPE",
        NodeEnum::CreateDomainStmt(_) => "DOMAIN",
        NodeEnum::CreateFunctionStmt(function) if function.is_procedure => "PROCEDURE",
        NodeEnum::CreateFunctionStmt(_) => "FUNCTION",
        NodeEnum::CreateTrigStmt(_) => "TRIGGER",
        NodeEnum::RuleStmt(_) => "RULE",
        NodeEnum::CreatePolicyStmt(_) => "POLICY",
        NodeEnum::CreateStatsStmt(_) => "STATISTICS",
        NodeEnum::CreateExtensionStmt(_) => "EXTENSION",
        NodeEnum::CreateFdwStmt(_) => "FOREIGN DATA WRAPPER",
        NodeEnum::CreateForeignServerStmt(_) => "SERVER",
        NodeEnum::CreateUserMappingStmt(_) => "USER MAPPING",
        NodeEnum::CreateAmStmt(_) => "ACCESS METHOD",
        NodeEnum::CreatePlangStmt(_) => "LANGUAGE",
        NodeEnum::CreateConversionStmt(_) => "CONVERSION",
        NodeEnum::CreateCastStmt(_) => "CAST",
        NodeEnum::CreateTransformStmt(_) => "TRANSFORM",
        NodeEnum::CreateOpClassStmt(_) => "OPERATOR CLASS",
        NodeEnum::CreateOpFamilyStmt(_) => "OPERATOR FAMILY",
        NodeEnum::DefineStmt(define) => return Some(kind(define.kind)),
        _ => return None,
    };
    Some(what.to_owned())
}

fn altered(node: &NodeEnum) -> Option<String> {
    let what = match node {
        NodeEnum::AlterTableStmt(alter) => return Some(kind(alter.objtype)),
        NodeEnum::RenameStmt(rename) if rename.rename_type == ObjectType::ObjectColumn as i32 => {
            return Some(kind(rename.relation_type))
        }
        NodeEnum::RenameStmt(rename) => return Some(kind(rename.rename_type)),
        NodeEnum::AlterObjectSchemaStmt(alter) => return Some(kind(alter.object_type)),
        NodeEnum::AlterOwnerStmt(alter) => return Some(kind(alter.object_type)),
        NodeEnum::AlterObjectDependsStmt(alter) => return Some(kind(alter.object_type)),
        NodeEnum::AlterTableMoveAllStmt(alter) => return Some(kind(alter.objtype)),
        NodeEnum::AlterFunctionStmt(alter) => return Some(kind(alter.objtype)),
        NodeEnum::AlterSeqStmt(_) => "SEQUENCE",
        NodeEnum::AlterDomainStmt(_) => "DOMAIN",
        NodeEnum::AlterEnumStmt(_) | NodeEnum::AlterTypeStmt(_) => "TYPE",
        NodeEnum::AlterPolicyStmt(_) => "POLICY",
        NodeEnum::AlterStatsStmt(_) => "STATISTICS",
        NodeEnum::AlterCollationStmt(_) => "COLLATION",
        NodeEnum::AlterOperatorStmt(_) => "OPERATOR",
        NodeEnum::AlterOpFamilyStmt(_) => "OPERATOR FAMILY",
        NodeEnum::AlterExtensionStmt(_) | NodeEnum::AlterExtensionContentsStmt(_) => "EXTENSION",
        NodeEnum::AlterFdwStmt(_) => "FOREIGN DATA WRAPPER",
        NodeEnum::AlterForeignServerStmt(_) => "SERVER",
        NodeEnum::AlterUserMappingStmt(_) => "USER MAPPING",
        NodeEnum::AlterDefaultPrivilegesStmt(_) => "DEFAULT PRIVILEGES",
        NodeEnum::AlterTsdictionaryStmt(_) => "TEXT SEARCH DICTIONARY",
        NodeEnum::AlterTsconfigurationStmt(_) => "TEXT SEARCH CONFIGURATION",
        _ => return None,
    };
    Some(what.to_owned())
}

/// How command tags call a kind of object.
fn kind(object: i32) -> String {
    let object = ObjectType::try_from(object).unwrap_or(ObjectType::Undefined);
    match object {
        ObjectType::ObjectColumn | ObjectType::ObjectTabconstraint => "TABLE",
        ObjectType::ObjectAttribute => "TYPE",
        ObjectType::ObjectDomconstraint => "DOMAIN",
        ObjectType::ObjectMatview => "MATERIALIZED VIEW",
        ObjectType::ObjectFdw => "FOREIGN DATA WRAPPER",
        ObjectType::ObjectForeignServer => "SERVER",
        ObjectType::ObjectOpclass => "OPERATOR CLASS",
        ObjectType::ObjectOpfamily => "OPERATOR FAMILY",
        ObjectType::ObjectStatisticExt => "STATISTICS",
        ObjectType::ObjectTsconfiguration => "TEXT SEARCH CONFIGURATION",
        ObjectType::ObjectTsdictionary => "TEXT SEARCH DICTIONARY",
        ObjectType::ObjectTsparser => "TEXT SEARCH PARSER",
        ObjectType::ObjectTstemplate => "TEXT SEARCH TEMPLATE",
        plain => {
            return plain.as_str_name().trim_start_matches("OBJECT_").replace('_', " ");
        }
    }
    .to_owned()
}

/// Unqualified names of what a statement makes, changes or drops; none when we do not know how to tell.
pub(super) fn names(node: &NodeEnum) -> Vec<String> {
    let relation = |relation: Option<&RangeVar>| relation.map(|r| r.relname.clone()).into_iter().collect();
    let mut names: Vec<String> = match node {
        NodeEnum::CreateStmt(create) => relation(create.relation.as_ref()),
        NodeEnum::CreateForeignTableStmt(create) => {
            relation(create.base_stmt.as_ref().and_then(|base| base.relation.as_ref()))
        }
        NodeEnum::CreateTableAsStmt(create) => {
            relation(create.into.as_ref().and_then(|into| into.rel.as_ref()))
        }
        NodeEnum::SelectStmt(select) => {
            relation(select.into_clause.as_ref().and_then(|into| into.rel.as_ref()))
        }
        NodeEnum::AlterTableStmt(alter) => relation(alter.relation.as_ref()),
        NodeEnum::AlterSeqStmt(alter) => relation(alter.sequence.as_ref()),
        NodeEnum::CreateSeqStmt(create) => relation(create.sequence.as_ref()),
        NodeEnum::ViewStmt(view) => relation(view.view.as_ref()),
        NodeEnum::IndexStmt(index) if index.idxname.is_empty() => relation(index.relation.as_ref()),
        NodeEnum::IndexStmt(index) => vec![index.idxname.clone()],
        NodeEnum::CreateTrigStmt(trigger) => vec![trigger.trigname.clone()],
        NodeEnum::CreateSchemaStmt(schema) => vec![schema.schemaname.clone()],
        NodeEnum::CreateEnumStmt(create) => last(&create.type_name).into_iter().collect(),
        NodeEnum::AlterEnumStmt(alter) => last(&alter.type_name).into_iter().collect(),
        NodeEnum::CreateDomainStmt(create) => last(&create.domainname).into_iter().collect(),
        NodeEnum::CompositeTypeStmt(create) => relation(create.typevar.as_ref()),
        NodeEnum::CreateFunctionStmt(create) => last(&create.funcname).into_iter().collect(),
        NodeEnum::RenameStmt(rename) => {
            let mut names: Vec<String> = relation(rename.relation.as_ref());
            names.push(rename.newname.clone());
            names
        }
        NodeEnum::AlterObjectSchemaStmt(alter) => relation(alter.relation.as_ref()),
        NodeEnum::AlterOwnerStmt(alter) => relation(alter.relation.as_ref()),
        NodeEnum::DropStmt(drop) => drop.objects.iter().filter_map(dropped).collect(),
        _ => Vec::new(),
    };
    names.retain(|name| !name.is_empty());
    names
}

/// The name of one object of a DROP.
fn dropped(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::List(list) => last(&list.items),
        NodeEnum::TypeName(name) => last(&name.names),
        NodeEnum::ObjectWithArgs(object) => last(&object.objname),
        NodeEnum::String(name) => Some(name.sval.clone()),
        _ => None,
    }
}

/// The last part of a qualified name.
pub(super) fn last(names: &[Node]) -> Option<String> {
    match names.last()?.node.as_ref()? {
        NodeEnum::String(name) => Some(name.sval.clone()),
        _ => None,
    }
}

/// A constant whose value does not depend on when or where it is read.
pub(super) fn plain_constant(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::AConst(constant) => {
            constant.isnull
                || matches!(
                    constant.val,
                    Some(a_const::Val::Ival(_) | a_const::Val::Fval(_) | a_const::Val::Boolval(_))
                )
        }
        _ => false,
    }
}
