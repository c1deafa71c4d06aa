//! What the kinds of archive entries mean to us. One line each: nothing else in this folder asks for a kind by its name.

use super::archive::Item;

/// Kinds that are part of another object and go where it goes.
pub(super) fn hangs_on(kind: &str) -> bool {
    matches!(
        kind,
        "COMMENT"
            | "ACL"
            | "SECURITY LABEL"
            | "DEFAULT"
            | "INDEX"
            | "CONSTRAINT"
            | "CHECK CONSTRAINT"
            | "FK CONSTRAINT"
            | "TRIGGER"
            | "RULE"
            | "POLICY"
            | "ROW SECURITY"
            | "STATISTICS"
            | "TABLE ATTACH"
            | "INDEX ATTACH"
            | "SEQUENCE OWNED BY"
            | "CAST"
            | "TRANSFORM"
            | "USER MAPPING"
    )
}

/// Kinds that describe an object and share its fate when kinds are left out.
pub(super) fn describes(kind: &str) -> bool {
    matches!(kind, "ACL" | "SECURITY LABEL" | "COMMENT")
}

/// Kinds that are not part of a schema: rows, and what belongs to the database as a whole.
pub(super) fn is_skipped(kind: &str) -> bool {
    matches!(
        kind,
        "ENCODING"
            | "STDSTRINGS"
            | "SEARCHPATH"
            | "DATABASE"
            | "DATABASE PROPERTIES"
            | "TABLE DATA"
            | "SEQUENCE SET"
            | "BLOB"
            | "BLOBS"
            | "BLOB METADATA"
            | "LARGE OBJECT"
            | "MATERIALIZED VIEW DATA"
            | "STATISTICS DATA"
            | "SUBSCRIPTION"
            | "SUBSCRIPTION TABLE"
            | "PUBLICATION"
            | "PUBLICATION TABLE"
            | "PUBLICATION TABLES IN SCHEMA"
    )
}

/// Kinds restored last, because they would act on what is restored after them, or cannot see it.
pub(super) fn is_late(kind: &str) -> bool {
    matches!(kind, "ACL" | "DEFAULT ACL" | "EVENT TRIGGER")
}

/// Kinds that hold rows of their own.
pub(super) fn is_table(kind: &str) -> bool {
    matches!(kind, "TABLE" | "FOREIGN TABLE")
}

/// Kinds that `alter .. owner to` knows.
pub(super) fn has_owner(kind: &str) -> bool {
    matches!(
        kind,
        "AGGREGATE"
            | "COLLATION"
            | "CONVERSION"
            | "DOMAIN"
            | "EVENT TRIGGER"
            | "FOREIGN DATA WRAPPER"
            | "FOREIGN TABLE"
            | "FUNCTION"
            | "MATERIALIZED VIEW"
            | "OPERATOR"
            | "OPERATOR CLASS"
            | "OPERATOR FAMILY"
            | "PROCEDURAL LANGUAGE"
            | "PROCEDURE"
            | "SCHEMA"
            | "SEQUENCE"
            | "SERVER"
            | "STATISTICS"
            | "TABLE"
            | "TEXT SEARCH CONFIGURATION"
            | "TEXT SEARCH DICTIONARY"
            | "TYPE"
            | "VIEW"
    )
}

/// Kinds whose definitions name roles that must exist.
pub(super) fn names_roles(kind: &str) -> bool {
    matches!(kind, "ACL" | "DEFAULT ACL" | "POLICY" | "USER MAPPING")
}

/// A view's definition, where it had to be separated from the view to break a circle.
pub(super) fn is_view_rule(item: &Item) -> bool {
    item.kind == "RULE" && item.tag.ends_with(" _RETURN")
}

/// The object type an entry counts as.
pub(super) fn category(item: &Item) -> Option<&'static str> {
    if is_view_rule(item) {
        return Some("views");
    }
    category_of(&item.kind)
}

/// The object type (see [`crate::config::snapshot::OBJECT_TYPES`]) a kind counts as.
fn category_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "TABLE" | "TABLE ATTACH" | "FOREIGN TABLE" | "DEFAULT" => "tables",
        "SEQUENCE" | "SEQUENCE OWNED BY" => "sequences",
        "TYPE" | "DOMAIN" | "SHELL TYPE" => "types",
        "INDEX" | "INDEX ATTACH" | "STATISTICS" => "indexes",
        "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => "constraints",
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => "functions",
        "VIEW" => "views",
        "MATERIALIZED VIEW" => "materialized_views",
        "TRIGGER" => "triggers",
        "EVENT TRIGGER" => "event_triggers",
        "POLICY" | "ROW SECURITY" => "policies",
        "RULE" => "rules",
        "COMMENT" => "comments",
        "EXTENSION" => "extensions",
        "COLLATION" => "collations",
        "TEXT SEARCH CONFIGURATION"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE" => "text_search",
        _ => return None,
    })
}

/// Where the catalogue keeps objects of a kind: catalogue, column of the name, column of the schema. Only kinds that a copy may find
/// at the target already, made by an earlier copy of another table, and that cannot be made with `or replace` or `if not exists`.
pub(super) fn catalogue(kind: &str) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match kind {
        "TABLE" | "FOREIGN TABLE" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => {
            ("pg_class", "relname", "relnamespace")
        }
        "TYPE" | "DOMAIN" | "SHELL TYPE" => ("pg_type", "typname", "typnamespace"),
        "COLLATION" => ("pg_collation", "collname", "collnamespace"),
        "CONVERSION" => ("pg_conversion", "conname", "connamespace"),
        "OPERATOR" => ("pg_operator", "oprname", "oprnamespace"),
        "OPERATOR CLASS" => ("pg_opclass", "opcname", "opcnamespace"),
        "OPERATOR FAMILY" => ("pg_opfamily", "opfname", "opfnamespace"),
        "TEXT SEARCH CONFIGURATION" => ("pg_ts_config", "cfgname", "cfgnamespace"),
        "TEXT SEARCH DICTIONARY" => ("pg_ts_dict", "dictname", "dictnamespace"),
        "TEXT SEARCH PARSER" => ("pg_ts_parser", "prsname", "prsnamespace"),
        "TEXT SEARCH TEMPLATE" => ("pg_ts_template", "tmplname", "tmplnamespace"),
        "FOREIGN DATA WRAPPER" => ("pg_foreign_data_wrapper", "fdwname", "0"),
        "SERVER" => ("pg_foreign_server", "srvname", "0"),
        "ACCESS METHOD" => ("pg_am", "amname", "0"),
        "EVENT TRIGGER" => ("pg_event_trigger", "evtname", "0"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::OBJECT_TYPES;

    #[test]
    fn every_object_type_has_a_kind() {
        let kinds = [
            "TABLE",
            "SEQUENCE",
            "TYPE",
            "INDEX",
            "CONSTRAINT",
            "FUNCTION",
            "VIEW",
            "MATERIALIZED VIEW",
            "TRIGGER",
            "EVENT TRIGGER",
            "POLICY",
            "RULE",
            "COMMENT",
            "EXTENSION",
            "COLLATION",
            "TEXT SEARCH CONFIGURATION",
        ];
        let mut known: Vec<&str> = kinds.iter().filter_map(|kind| category_of(kind)).collect();
        known.sort_unstable();
        let mut all = OBJECT_TYPES.to_vec();
        all.sort_unstable();
        assert_eq!(known, all);
    }
}
