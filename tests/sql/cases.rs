//! SQL files with the output they must give, on both installs: `cases/NAME.sql` and `cases/NAME.out`.
//!
//! `PGSTREAM_TEST_ACCEPT=1` writes what comes out as what is expected: read the difference before it is committed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use pgstream_tests::Database;

use super::{on_both_installs, Install};

on_both_installs!(schemas, commands, lists, skipping, roles);

fn schemas(database: Database) {
    check(&database, "schemas");
}

fn commands(database: Database) {
    check(&database, "commands");
}

fn lists(database: Database) {
    check(&database, "lists");
}

fn skipping(database: Database) {
    check(&database, "skipping");
}

fn roles(database: Database) {
    check(&database, "roles");
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/cases").join(name)
}

/// Runs a file as psql does; errors are part of the output.
fn run(database: &Database, name: &str) -> String {
    let mut shell = Command::new("sh");
    let psql = database.client("psql");
    shell.envs(psql.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.args(["-c", "exec \"$0\" -X -q -At -F ' ' -f \"$1\" 2>&1"]).arg(psql.get_program()).arg(file(name));
    let output = shell.stdin(Stdio::null()).output().expect("start psql");
    // Errors name the file and the line.
    let prefix = format!("psql:{}:", file(name).display());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| strip(line, &prefix) + "\n").collect()
}

fn strip(line: &str, prefix: &str) -> String {
    match line.strip_prefix(prefix).and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message.to_owned(),
        None => line.to_owned(),
    }
}

fn check(database: &Database, name: &str) {
    let seen = run(database, &format!("{name}.sql"));
    let expected = file(&format!("{name}.out"));
    if env::var_os("PGSTREAM_TEST_ACCEPT").is_some() {
        fs::write(&expected, &seen).expect("write the expected output");
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    for (number, (seen, expected)) in seen.lines().zip(expected.lines()).enumerate() {
        assert_eq!(seen, expected, "{name}.out, line {}", number + 1);
    }
    assert_eq!(seen.lines().count(), expected.lines().count(), "{name}.out, lines\n{seen}");
}

/// Statements from the catalogue alone make the same objects again.
#[test]
fn definitions_make_the_same_again() {
    let (source, copy) = (Install::Plain.database(), Database::on_source());
    let made = run(&source, "definitions.sql");
    assert_eq!(made, "");
    copy.execute(&source.value(&fs::read_to_string(file("definitions_again.sql")).expect("the query")));
    let dump = |database: &Database| {
        let output =
            database.client("pg_dump").args(["-s", "-O", "-N", "pgstream"]).output().expect("start pg_dump");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("--") && !line.contains("restrict "));
        lines.take_while(|line| !line.contains("EVENT TRIGGER")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (expected, again) = (dump(&source), dump(&copy));
    assert!(expected.len() > 200, "{expected:?}");
    for (line, expected) in again.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(again.len(), expected.len());
}
