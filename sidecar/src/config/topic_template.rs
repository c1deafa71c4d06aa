//! Names of topics made from the names of tables: `cdc.{schema}.{table}`. Sans-I/O.
//!
//! What Kafka does not take in a name (anything but letters, digits, `.`, `_`, `-`) becomes `_`, and what is behind the 249th
//! character is left out, as Debezium does it. Two tables can so come to share a topic: [`Name::changed`] says when that may be.

/// The longest name that Kafka takes.
const LONGEST: usize = 249;

/// A template, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Schema,
    Table,
}

/// The name of a table's topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As Kafka takes it.
    pub name: String,
    /// It is not what the template said: Kafka takes no such name.
    pub changed: bool,
}

impl TopicTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (plain, behind) =
                rest.split_once('{').map_or((rest, None), |(plain, rest)| (plain, Some(rest)));
            if let Some(bad) = plain.chars().find(|letter| !is_allowed(*letter)) {
                return Err(format!(
                    "{bad:?} is not allowed in a topic's name: letters, digits, '.', '_' and '-' are"
                ));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_owned()));
            }
            let Some(behind) = behind else { break };
            let (placeholder, behind) = behind.split_once('}').ok_or("a '{' without its '}'")?;
            parts.push(match placeholder {
                "schema" => Part::Schema,
                "table" => Part::Table,
                other => {
                    return Err(format!(
                        "unknown placeholder {{{other}}}: there are {{schema}} and {{table}}"
                    ))
                }
            });
            rest = behind;
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err("it names no table: use {schema} and {table}, as in cdc.{schema}.{table}".to_owned());
        }
        Ok(Self(parts))
    }

    /// The name of that table's topic.
    pub fn name(&self, schema: &str, table: &str) -> Name {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Schema => schema,
            Part::Table => table,
        });
        let wanted: String = parts.collect();
        let name = sanitised(&wanted);
        Name { changed: name != wanted, name }
    }
}

/// A name that Kafka takes.
fn sanitised(name: &str) -> String {
    match name {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => name.chars().take(LONGEST).map(|letter| if is_allowed(letter) { letter } else { '_' }).collect(),
    }
}

fn is_allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, schema: &str, table: &str) -> (String, bool) {
        let name = TopicTemplate::parse(template).expect("a template").name(schema, table);
        (name.name, name.changed)
    }

    #[test]
    fn a_table_has_its_topic() {
        assert_eq!(name("cdc.{schema}.{table}", "public", "t"), ("cdc.public.t".into(), false));
        assert_eq!(name("{table}", "public", "t"), ("t".into(), false));
        assert_eq!(name("{schema}-rows", "s", "t"), ("s-rows".into(), false));
    }

    #[test]
    fn what_kafka_does_not_take_is_replaced() {
        assert_eq!(name("{schema}.{table}", "public", "T 1/\u{e4}"), ("public.T_1__".into(), true));
        assert_eq!(name("{table}", "s", ".."), ("__".into(), true));
        let (long, changed) = name("{table}", "s", &"x".repeat(300));
        assert_eq!((long.len(), changed), (249, true));
    }

    #[test]
    fn a_bad_template_is_refused() {
        for (template, why) in [
            ("cdc.{schema}.{tabel}", "unknown placeholder {tabel}"),
            ("cdc.{table", "without its '}'"),
            ("cdc", "names no table"),
            ("", "names no table"),
            ("a b.{table}", "' ' is not allowed"),
            ("x}.{table}", "'}' is not allowed"),
        ] {
            let error = TopicTemplate::parse(template).expect_err(template);
            assert!(error.contains(why), "{template}: {error}");
        }
    }
}
