//! An upgrade runs the files of the manifest again, of `tables/` only the newer ones. What an older release left
//! behind must then be as a fresh install makes it.

use std::fs;
use std::path::PathBuf;

use pgstream_tests::Database;

use super::install::assert_same_objects;
use super::{on_both_installs, plain_order, read, Install};

on_both_installs!(older_functions_become_the_new_ones);

/// What an older release may have left: another body, another owner of rights, a trigger that is not there yet.
const OLDER: &str = "
    create or replace function pgstream.is_system_schema(schema_name text) returns boolean language sql as 'select false';
    grant execute on function pgstream.refresh_schema(text) to public;
    comment on function pgstream.xid_pid(pgstream.xid) is null";

/// The script from the release that has `tables` to this one, as the extension's `upgrade/pgstream--A--B.sql` holds it.
fn upgrade_script(order: &[String], tables: u32) -> String {
    let newer = |path: &&String| match path.strip_prefix("tables/").and_then(|name| name.split('_').next()) {
        Some(number) => number.parse::<u32>().expect("a number before the name") > tables,
        None => true,
    };
    order.iter().filter(newer).map(|path| read(path)).collect::<Vec<_>>().join("\n")
}

fn older_functions_become_the_new_ones(database: Database) {
    let fresh = database.server.database();
    let extension =
        database.value("select exists (select from pg_extension where extname = 'pgstream')") == "t";
    let install = if extension { Install::Extension } else { Install::Plain };
    fresh.execute(&install.script());
    let tables =
        database.value("select max(version) from pgstream.schema_migrations").parse().expect("a number");
    database.execute("create table kept (id int primary key)");
    let before = database.value("select count(*) from pgstream.schema_log");
    if extension {
        let order = read("order");
        let order = order.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
        let order: Vec<String> = order.filter(|path| !path.is_empty()).collect();
        let share: PathBuf = database.value("select setting from pg_config where name = 'SHAREDIR'").into();
        let version = database.value("select extversion from pg_extension where extname = 'pgstream'");
        let script = share.join(format!("extension/pgstream--{version}--{version}.upgraded.sql"));
        fs::write(&script, upgrade_script(&order, tables)).expect("write the upgrade script");
        database.execute(OLDER);
        database.execute(&format!("alter extension pgstream update to '{version}.upgraded'"));
        fs::remove_file(script).expect("remove the upgrade script");
    } else {
        database.execute(OLDER);
        database.execute(&upgrade_script(&plain_order(), tables));
    }
    assert_same_objects(&fresh, &database);
    assert_eq!(database.value("select count(*) from pgstream.schema_log"), before, "history stays");
}
