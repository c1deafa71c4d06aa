//! Which tables pass: include XOR exclude, by `schema.table` patterns; and of which only schema changes pass.
//!
//! ```text
//! rows, truncates    asked for (include, exclude), and not among schema_only
//! schema changes     asked for, or among schema_only; what is excluded stays so
//! ```
//!
//! Patterns: `schema.table`, `table` (= `public.table`), `schema.*`, `*.table`, `*.*`, `*` (= `public.*`). Names with dots, upper case or other
//! signs may be quoted as in SQL; unquoted names are taken as they are written (case matters).
//!
//! A schema change passes per object: it is dropped when all it touches is excluded, and marked `partial` when some of it is, so that a sink
//! does not repeat its text blindly. Filtered events still move the position: only their content is gone.

use std::sync::Arc;

use crate::config::plan;
use crate::error::{Error, Result};
use crate::event::{Ddl, DdlObject, Event};

/// The filter stage.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    schema_only: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    schema: Name,
    table: Name,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Any,
    Is(String),
}

impl Name {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => wanted == name,
        }
    }
}

impl Filter {
    /// Checks the patterns.
    ///
    /// # Errors
    /// Fatal, naming the pattern, when one is malformed or both lists are given.
    pub fn new(plan: &plan::Filter) -> Result<Self> {
        if !plan.include.is_empty() && !plan.exclude.is_empty() {
            return Err(Error::fatal("include_tables and exclude_tables cannot be used together")
                .hint("keep one of them"));
        }
        let parse = |patterns: &[String]| {
            patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            include: parse(&plan.include)?,
            exclude: parse(&plan.exclude)?,
            schema_only: parse(&plan.schema_only)?,
        })
    }

    /// Whether that table is asked for.
    pub fn passes(&self, schema: &str, table: &str) -> bool {
        (self.include.is_empty() || any(&self.include, schema, table)) && !any(&self.exclude, schema, table)
    }

    fn passes_rows(&self, schema: &str, table: &str) -> bool {
        self.passes(schema, table) && !any(&self.schema_only, schema, table)
    }

    fn passes_changes(&self, schema: &str, table: &str) -> bool {
        let named = any(&self.schema_only, schema, table) && !any(&self.exclude, schema, table);
        named || self.passes(schema, table)
    }

    /// Whether objects of that schema that belong to no table pass (types, sequences, functions, the schema itself).
    fn passes_schema(&self, schema: &str) -> bool {
        let whole = |p: &&Pattern| p.table == Name::Any && p.schema.matches(schema);
        let touched = |patterns: &[Pattern]| patterns.iter().any(|p| p.schema.matches(schema));
        (self.include.is_empty() || touched(&self.include) || touched(&self.schema_only))
            && self.exclude.iter().find(whole).is_none()
    }

    /// Whether everything in that schema is asked for: an include pattern `schema.*`, and nothing excluded as a whole.
    pub fn covers(&self, schema: &str) -> bool {
        let whole = |p: &Pattern| p.table == Name::Any && p.schema.matches(schema);
        self.include.iter().any(whole) && !self.exclude.iter().any(whole)
    }

    /// Whether the whole database is asked for.
    pub fn covers_all(&self) -> bool {
        self.include.iter().any(|p| p.table == Name::Any && p.schema == Name::Any)
    }

    /// The schema and the table of each pattern, `*` for any.
    ///
    /// # Errors
    /// Fatal, naming the pattern that is malformed.
    pub fn parts(patterns: &[String]) -> Result<Vec<(String, String)>> {
        let text = |name| match name {
            Name::Any => "*".to_owned(),
            Name::Is(name) => name,
        };
        patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern).map(|p| (text(p.schema), text(p.table))))
            .collect()
    }

    /// Nothing is asked for in particular.
    pub fn is_open(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.schema_only.is_empty()
    }

    /// The tables that are asked for by name: schema and table.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.include.iter().filter_map(|p| match (&p.schema, &p.table) {
            (Name::Is(schema), Name::Is(table)) => Some((schema.as_str(), table.as_str())),
            _ => None,
        })
    }

    /// One event in, at most one out.
    pub fn apply(&self, event: Event) -> Option<Event> {
        if self.is_open() {
            return Some(event);
        }
        match event {
            Event::Change(change) if &*change.relation.schema == "pgstream" => Some(Event::Change(change)),
            Event::Change(change) => {
                let passes = self.passes_rows(&change.relation.schema, &change.relation.name);
                passes.then_some(Event::Change(change))
            }
            Event::Truncate(mut truncate) => {
                truncate.relations.retain(|relation| self.passes_rows(&relation.schema, &relation.name));
                (!truncate.relations.is_empty()).then_some(Event::Truncate(truncate))
            }
            Event::Ddl(ddl) => self.ddl(ddl).map(Event::Ddl),
            event => Some(event),
        }
    }

    fn ddl(&self, ddl: Arc<Ddl>) -> Option<Arc<Ddl>> {
        keep(ddl, |_, schema, table| self.passes_changes(schema, table), |schema| self.passes_schema(schema))
    }
}

fn any(patterns: &[Pattern], schema: &str, table: &str) -> bool {
    patterns.iter().any(|p| p.schema.matches(schema) && p.table.matches(table))
}

/// What is left of a schema change when only some tables (oid, schema, name) and schemas pass: all, a part, or nothing.
pub fn keep(
    ddl: Arc<Ddl>,
    table: impl Fn(u32, &str, &str) -> bool,
    schema: impl Fn(&str) -> bool,
) -> Option<Arc<Ddl>> {
    let text = |table: &serde_json::Value, key| Some(table.get(key)?.as_str()?.to_owned());
    let touched: Vec<(u32, String, String)> = ddl
        .tables
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|table| {
            let oid = text(table, "oid").and_then(|oid| oid.parse().ok()).unwrap_or(0);
            Some((oid, text(table, "schema")?, text(table, "name")?))
        })
        .collect();
    let passes = |object: &DdlObject| match (object.kind.as_str(), &object.name) {
        ("table" | "foreign table" | "view" | "materialized view", Some(name)) => {
            table(object.oid, &object.schema, name)
        }
        ("schema", _) => schema(object.identity.trim_matches('"')),
        // What hangs on a table goes with the tables the command touched; what does not, with its schema.
        _ if !touched.is_empty() => touched.iter().any(|(oid, schema, name)| table(*oid, schema, name)),
        _ => schema(&object.schema),
    };
    let kept = ddl.objects.iter().filter(|object| passes(object)).count();
    if kept == ddl.objects.len() {
        return Some(ddl);
    }
    if kept == 0 {
        return None;
    }
    let mut part = Ddl::clone(&ddl);
    part.objects.retain(passes);
    part.partial = true;
    Some(Arc::new(part))
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let malformed = || {
            Error::fatal(format!("table pattern {text:?} is not understood"))
                .hint("use schema.table, table, schema.*, *.table or *.*; quote names with dots: \"a.b\".c")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_name(quoted).ok_or_else(malformed)?,
                None => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    let name = &rest[..end];
                    if name.is_empty() || name.contains('"') {
                        return Err(malformed());
                    }
                    let name = if name == "*" { Name::Any } else { Name::Is(name.to_owned()) };
                    (name, &rest[end..])
                }
            };
            parts.push(name);
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return Err(malformed()),
            }
        }
        match <[Name; 2]>::try_from(parts) {
            Ok([schema, table]) => Ok(Self { schema, table }),
            Err(mut parts) => match (parts.pop(), parts.pop()) {
                (Some(table), None) => Ok(Self { schema: Name::Is("public".into()), table }),
                _ => Err(malformed()),
            },
        }
    }
}

/// A quoted name up to its closing quote (doubled quotes inside stand for one), and what follows.
fn quoted_name(text: &str) -> Option<(Name, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((Name::Is(name), rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(include: &[&str], exclude: &[&str], schema_only: &[&str]) -> Filter {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let plan =
            plan::Filter { include: own(include), exclude: own(exclude), schema_only: own(schema_only) };
        Filter::new(&plan).expect("valid patterns")
    }

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        with(include, exclude, &[])
    }

    #[test]
    fn patterns_of_every_form() {
        for (pattern, schema, table, passes) in [
            ("test", "public", "test", true),
            ("test", "other", "test", false),
            ("*", "public", "x", true),
            ("*", "other", "x", false),
            ("a.*", "a", "x", true),
            ("*.x", "b", "x", true),
            ("*.x", "b", "y", false),
            ("*.*", "b", "y", true),
            ("\"a.b\".\"T \"\"1\"\"\"", "a.b", "T \"1\"", true),
            ("Mixed.Case", "Mixed", "Case", true),
            ("Mixed.Case", "mixed", "case", false),
        ] {
            assert_eq!(
                filter(&[pattern], &[]).passes(schema, table),
                passes,
                "include {pattern}: {schema}.{table}"
            );
            assert_eq!(
                filter(&[], &[pattern]).passes(schema, table),
                !passes,
                "exclude {pattern}: {schema}.{table}"
            );
        }
    }

    #[test]
    fn tables_without_their_rows() {
        for (include, exclude, table, rows, changes) in [
            (&[][..], &[][..], "t", true, true),
            (&[], &[], "big", false, true),
            (&[], &[], "log 1", false, true),
            (&["t"], &[], "t", true, true),
            (&["t"], &[], "other", false, false),
            // Named only there: its schema is asked for by that.
            (&["t"], &[], "big", false, true),
            (&["t", "big"], &[], "big", false, true),
            (&[], &["big"], "big", false, false),
        ] {
            let filter = with(include, exclude, &["big", "public.\"log 1\""]);
            let seen = (filter.passes_rows("public", table), filter.passes_changes("public", table));
            assert_eq!(seen, (rows, changes), "include {include:?}, exclude {exclude:?}: {table}");
        }
        let all = with(&[], &[], &["logs.*"]);
        assert!(!all.passes_rows("logs", "x") && all.passes_rows("public", "x") && !all.is_open());
    }

    #[test]
    fn malformed_patterns_are_named() {
        for bad in ["", ".", "a.", "a.b.c", "\"a", "a\"b", "\"a\"b"] {
            let list = || vec![bad.to_owned()];
            let include = plan::Filter { include: list(), ..plan::Filter::default() };
            assert!(Filter::new(&include).is_err(), "{bad}");
            let schema_only = plan::Filter { schema_only: list(), ..plan::Filter::default() };
            assert!(Filter::new(&schema_only).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_lists_are_refused() {
        let plan =
            plan::Filter { include: vec!["a".into()], exclude: vec!["b".into()], ..plan::Filter::default() };
        assert!(Filter::new(&plan).is_err());
    }
}
