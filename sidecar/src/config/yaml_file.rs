//! Yaml files: flattened to paths, each with the line it stands on.

use std::collections::BTreeSet;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::env_file::expand;
use super::setting::{self, Kind, Path, Setting};
use super::value::Typed;
use super::Environment;

/// What was found in a file.
#[derive(Default)]
pub struct Found {
    /// Settings with what was typed and the line.
    pub values: Vec<(usize, &'static Setting, Typed)>,
    /// Lines that cannot be understood.
    pub bad: Vec<(usize, String)>,
    /// It is not yaml at all.
    pub malformed: bool,
}

/// Reads a file's text.
pub fn parse(text: &str, environment: &Environment) -> Found {
    let text = without_tabs(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut reader = Reader { text: &text, environment, found: Found::default() };
    match MarkedYaml::load_from_str(&text) {
        Ok(documents) => match documents.as_slice() {
            [] => {}
            [document] => reader.walk("", document),
            [_, second, ..] => reader.bad(second, "a second document in one file".into()),
        },
        Err(error) => {
            let line = error.marker().line();
            reader.found.bad.push((line, format!("not yaml: {}", error.info())));
            reader.found.malformed = true;
        }
    }
    reader.found
}

/// Yaml forbids tabs as indentation; people type them. Each counts as four spaces.
fn without_tabs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t']);
        out.push_str(&line[..line.len() - content.len()].replace('\t', "    "));
        out.push_str(content);
    }
    out
}

struct Reader<'a> {
    text: &'a str,
    environment: &'a Environment,
    found: Found,
}

impl Reader<'_> {
    fn bad(&mut self, node: &MarkedYaml<'_>, why: String) {
        self.found.bad.push((node.span.start.line(), why));
    }

    /// A mapping that leads to settings.
    fn walk(&mut self, parent: &str, node: &MarkedYaml<'_>) {
        let mapping = match &node.data {
            YamlData::Mapping(mapping) => mapping,
            YamlData::Value(Scalar::Null) | YamlData::BadValue => return,
            _ if parent.is_empty() => {
                return self.bad(node, "expected keys such as source: and target:".into())
            }
            _ => return self.bad(node, format!("{parent}: expected keys below it")),
        };
        for (key, value) in mapping {
            let name = self.raw(key);
            let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
            match setting::at(&path) {
                Path::Leaf(setting) => self.leaf(setting, value),
                Path::Branch => self.walk(&path, value),
                Path::Unknown => {
                    let nearest = setting::nearest_path(&path);
                    self.bad(key, super::unknown("key", &path, nearest));
                }
            }
        }
    }

    fn leaf(&mut self, setting: &'static Setting, node: &MarkedYaml<'_>) {
        let typed = match &node.data {
            YamlData::Value(Scalar::Null) | YamlData::BadValue => return,
            _ if setting.kind == Kind::Tree => Ok(Typed::Tree(!self.is_empty(node))),
            YamlData::Sequence(items) => {
                items.iter().map(|item| self.text(item)).collect::<Result<_, _>>().map(Typed::List)
            }
            YamlData::Mapping(items) if setting.kind == Kind::List => items
                .iter()
                .map(|(name, value)| Ok(format!("{}={}", self.raw(name), self.text(value)?)))
                .collect::<Result<_, String>>()
                .map(Typed::List),
            YamlData::Value(_) => self.text(node).map(Typed::Text),
            _ => Ok(Typed::Tree(true)),
        };
        match typed {
            Ok(typed) => self.found.values.push((node.span.start.line(), setting, typed)),
            Err(why) => self.bad(node, format!("{}: {why}", setting.key)),
        }
    }

    fn is_empty(&self, node: &MarkedYaml<'_>) -> bool {
        match &node.data {
            YamlData::Sequence(items) => items.is_empty(),
            YamlData::Mapping(mapping) => mapping.is_empty(),
            _ => false,
        }
    }

    fn text(&self, node: &MarkedYaml<'_>) -> Result<String, String> {
        match &node.data {
            YamlData::Value(_) => {
                expand(&self.raw(node), &|name| self.environment.get(name).cloned(), &mut BTreeSet::new())
            }
            _ => Err("expected a plain value".into()),
        }
    }

    /// A scalar as it was typed: yaml would turn `007` into 7 and `1.10` into 1.1.
    fn raw(&self, node: &MarkedYaml<'_>) -> String {
        match &node.data {
            YamlData::Value(Scalar::String(text)) => text.to_string(),
            _ => {
                let (start, end) = (node.span.start.index(), node.span.end.index());
                self.text.chars().skip(start).take(end - start).collect::<String>().trim().to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<(usize, String)>) {
        let environment = [("PW".to_owned(), "secret".to_owned())].into();
        let found = parse(text, &environment);
        (
            found
                .values
                .iter()
                .map(|(line, setting, typed)| format!("{line} {} {typed:?}", setting.key))
                .collect(),
            found.bad,
        )
    }

    #[test]
    fn a_file_with_a_tab() {
        let text = "source:\n  postgres:\n    url: \"postgres://u:${PW}@h\"\n    mode: replication\n\tsnapshot: # a tab\n      tables: [\"*\", a.b]\n      snapshot_workers: 007\n";
        let (values, bad) = read(text);
        assert_eq!(bad, []);
        assert_eq!(
            values,
            [
                r#"3 source.postgres.url Text("postgres://u:secret@h")"#,
                r#"4 source.postgres.mode Text("replication")"#,
                r#"6 source.postgres.snapshot.tables List(["*", "a.b"])"#,
                r#"7 source.postgres.snapshot.snapshot_workers Text("007")"#,
            ]
        );
    }

    #[test]
    fn every_unknown_key_is_named() {
        let (values, bad) =
            read("source:\n  postgres:\n    ulr: x\n  x: 1\ntarget:\n  postgres: 5\nSource: 1\n");
        assert_eq!(values, Vec::<String>::new());
        assert_eq!(
            bad,
            [
                (3, "unknown key source.postgres.ulr (did you mean source.postgres.url?)".to_owned()),
                (4, "unknown key source.x".to_owned()),
                (6, "target.postgres: expected keys below it".to_owned()),
                (7, "unknown key Source (did you mean source?)".to_owned()),
            ]
        );
    }

    #[test]
    fn malformed_yaml_has_a_line() {
        for (text, line) in
            [("source: [\n", 2), ("a: b: c\n", 1), ("source:\n  postgres: {}\nsource: {}\n", 3)]
        {
            let (_, bad) = read(text);
            assert_eq!(bad.len(), 1, "{text}: {bad:?}");
            assert_eq!(bad[0].0, line, "{text}: {bad:?}");
        }
        assert_eq!(read("").1, []);
        assert_eq!(read("# nothing\n").1, []);
        assert_eq!(read("just text\n").1.len(), 1);
    }
}
