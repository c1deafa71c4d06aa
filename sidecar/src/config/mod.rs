//! Configuration: what was typed (flags, environment, files) and the checked plan made of it.
//!
//! ```text
//! file (.env | .yaml) < environment < flags   -> Settings (every value checked, every problem noted)   -> Plan
//! ```
//!
//! All settings stand in one table, [`table::SETTINGS`]; this is the only place that reads the process environment.

pub mod env_file;
pub mod plan;
pub mod resolve;
pub mod setting;
pub mod snapshot;
pub mod table;
pub mod topic_template;
pub mod value;
pub mod yaml_file;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use setting::{Setting, PREFIX};
use table::SETTINGS;
use value::{Typed, Value};

/// Environment variables.
pub type Environment = BTreeMap<String, String>;

/// The environment of this process.
#[allow(clippy::disallowed_methods)]
pub fn environment() -> Environment {
    let text = |name: std::ffi::OsString| name.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

/// A flag that sets a setting.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As typed: `--source-url`.
    pub name: &'static str,
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// Kinds that the flags `--source` and `--target` name.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// `--source`.
    pub source: Option<&'static str>,
    /// `--target`.
    pub target: Option<&'static str>,
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub struct Given {
    /// The value.
    pub value: Value,
    /// `file:line`, a variable or a flag.
    pub origin: String,
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// All that was given, checked value by value.
#[derive(Debug, Default)]
pub struct Settings {
    given: HashMap<&'static str, Given>,
    chosen: Chosen,
    problems: Vec<String>,
    warnings: Vec<String>,
    /// The file could not be read as a whole: what is missing then is no problem of its own.
    unread: bool,
}

/// Reads file, environment and flags; the later win. Whatever is wrong is noted, and the rest is read nevertheless.
pub fn read(file: Option<&Path>, environment: &Environment, chosen: Chosen, flags: Vec<Flag>) -> Settings {
    let mut settings = Settings { chosen, ..Settings::default() };
    if let Some(file) = file {
        settings.read_file(file, environment);
    }
    settings.read_environment(environment);
    for Flag { name, key, value } in flags {
        match setting::at(key) {
            setting::Path::Leaf(_) if value.trim().is_empty() => {
                settings.problems.push(format!("{name}: the value is empty"));
            }
            setting::Path::Leaf(setting) => settings.set(setting, name.into(), name, Typed::Text(value)),
            setting::Path::Branch | setting::Path::Unknown => {
                settings.problems.push(format!("{name}: no such setting"));
            }
        }
    }
    settings
}

impl Settings {
    fn read_file(&mut self, file: &Path, environment: &Environment) {
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return self.give_up(format!("{name}: cannot be read: {error}")),
        };
        let bad = match file.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => {
                let found = yaml_file::parse(&text, environment);
                self.unread = found.malformed;
                for (line, setting, typed) in found.values {
                    self.set(setting, format!("{name}:{line}"), setting.key, typed);
                }
                found.bad
            }
            Some("env") => {
                let (assignments, mut bad) = env_file::parse(&text, environment);
                bad.extend(self.read_assignments(file, &assignments));
                bad
            }
            _ => return self.give_up(format!("{name}: the name must end in .env, .yaml or .yml")),
        };
        self.problems.extend(bad.into_iter().map(|(line, why)| format!("{name}:{line}: {why}")));
        let line = |problem: &String| problem.get(name.len() + 1..)?.split(':').next()?.parse::<usize>().ok();
        self.problems.sort_by_key(line);
    }

    fn give_up(&mut self, problem: String) {
        self.problems.push(problem);
        self.unread = true;
    }

    fn read_assignments(
        &mut self,
        file: &Path,
        assignments: &[env_file::Assignment],
    ) -> Vec<(usize, String)> {
        let file = file.display();
        let (mut bad, mut variables) = (Vec::new(), HashMap::new());
        for given in assignments {
            if !setting::is_variable(&given.name) {
                let nearest = setting::nearest_variable(&given.name);
                bad.push((given.line, unknown("variable", &given.name, nearest)));
            } else if let Some((line, _)) =
                variables.insert(given.name.clone(), (given.line, given.value.clone()))
            {
                self.warnings.push(format!(
                    "{file}:{}: {} again (line {line}); this one counts",
                    given.line, given.name
                ));
            }
        }
        self.set_variables(|name| {
            variables.get(name).map(|(line, value)| (format!("{file}:{line}"), value.clone()))
        });
        bad
    }

    fn read_environment(&mut self, environment: &Environment) {
        self.set_variables(|name| environment.get(name).map(|value| (name.to_owned(), value.clone())));
        for name in environment.keys().filter(|name| name.starts_with(PREFIX) && !setting::is_variable(name))
        {
            let nearest = setting::nearest_variable(name);
            self.warnings.push(unknown("variable", name, nearest));
        }
    }

    /// Sets every setting that one of its variables is given for. An empty variable counts as not given.
    fn set_variables(&mut self, lookup: impl Fn(&str) -> Option<(String, String)>) {
        for setting in SETTINGS {
            let first = setting.env.iter().find_map(|name| {
                let name = format!("{PREFIX}{name}");
                lookup(&name)
                    .filter(|(_, value)| !value.trim().is_empty())
                    .map(|(origin, value)| (name, origin, value))
            });
            if let Some((name, origin, value)) = first {
                self.set(setting, origin, &name, Typed::Text(value));
            }
        }
    }

    fn set(&mut self, setting: &'static Setting, origin: String, name: &str, typed: Typed) {
        match value::parse(setting.kind, typed) {
            Ok(value) => drop(self.given.insert(setting.key, Given { value, origin: named(origin, name) })),
            Err(why) => {
                let problem = format!("{}: {why}", named(origin, name));
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
            }
        }
    }

    /// What is wrong so far.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What the user should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// `pg.env:3: NAME`, or just the name when it says it all.
fn named(origin: String, name: &str) -> String {
    if origin == name {
        origin
    } else {
        format!("{origin}: {name}")
    }
}

fn unknown(what: &str, name: &str, nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("unknown {what} {name} (did you mean {nearest}?)"),
        None => format!("unknown {what} {name}"),
    }
}

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;
