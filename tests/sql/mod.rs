//! The SQL surface. What must not depend on the way of installing runs twice, see [`on_both_installs`].

mod cases;
mod ddl_log;
mod ddl_text;
mod dump;
mod ids;
mod init;
mod install;
mod publications;
mod schema_log;
mod setup;
mod upgrade;

use std::fs;
use std::path::Path;

use pgstream_tests::Database;

/// The two ways in.
#[derive(Clone, Copy, PartialEq)]
enum Install {
    /// `create extension pgstream`
    Extension,
    /// The same files, run one after the other.
    Plain,
}

impl Install {
    /// A new database of the shared source with pgstream in it.
    fn database(self) -> Database {
        let database = Database::on_source();
        database.execute(&self.script());
        database
    }

    fn script(self) -> String {
        match self {
            Install::Extension => "create extension pgstream".to_owned(),
            Install::Plain => plain_script(),
        }
    }
}

/// What a plain install runs: the files of the manifest, those for the extension's library left out.
fn plain_order() -> Vec<String> {
    let order = read("order");
    let paths = order.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    paths.filter(|path| !path.is_empty() && !path.starts_with("native/")).map(str::to_owned).collect()
}

pub(crate) fn plain_script() -> String {
    let files = plain_order().iter().map(|path| read(path)).collect::<Vec<_>>();
    format!("begin; create schema if not exists pgstream;\n{}\ncommit", files.join("\n"))
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Makes of each function that takes a database two tests: `name::extension` and `name::plain`.
macro_rules! on_both_installs {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn extension() {
                super::$name(crate::sql::Install::Extension.database());
            }
            #[test]
            fn plain() {
                super::$name(crate::sql::Install::Plain.database());
            }
        }
    )*};
}
use on_both_installs;
