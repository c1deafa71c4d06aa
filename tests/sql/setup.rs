//! The steps of init and destroy, as the command line calls them; preflight errors with their remedies.

use pgstream_tests::{Database, Server};

use super::on_both_installs;

on_both_installs!(
    steps_make_a_slot_and_first_rows,
    preflight_refuses_with_a_remedy,
    status_and_check_tell_the_truth
);

fn steps_make_a_slot_and_first_rows(database: Database) {
    database.execute("create schema empty; create schema s; create table s.t (id int primary key)");
    let slot = database.value("select pgstream.setup_check(null, 'auto')");
    assert_eq!(slot, format!("pgstream_{}_slot", database.name));
    // Rows are there already when capture was installed before the tables; only what has none gets one.
    database.execute("delete from pgstream.schema_log");
    database.execute("select pgstream.setup_publications(); select pgstream.setup_lists()");
    let made = format!("select pgstream.setup_slot('{slot}', 'pgoutput')");
    assert_ne!(database.value(&made), "");
    assert_ne!(database.value(&made), "", "a second time is fine");
    assert_eq!(database.value(&format!("select pgstream.setup_schemas('{slot}')")), "1");
    assert_eq!(database.rows("select schema_name, version from pgstream.schema_log"), [["s", "1"]]);
    let made = "select plugin, database = current_database() from pg_replication_slots where slot_name = ";
    assert_eq!(database.rows(&format!("{made} '{slot}'")), [["pgoutput", "t"]]);

    database.execute("select pgstream.destroy(); select pgstream.destroy()");
    assert_eq!(
        database.value(&format!("select count(*) from pg_replication_slots where slot_name = '{slot}'")),
        "0"
    );
    assert_eq!(database.value("select count(*) from pg_publication"), "0");
}

fn preflight_refuses_with_a_remedy(database: Database) {
    let name = database.name.clone();
    database.execute(&format!("select pg_create_physical_replication_slot('{name}_physical')"));
    let elsewhere = Server::source().database();
    elsewhere.execute(&format!("select pg_create_logical_replication_slot('{name}_elsewhere', 'pgoutput')"));
    for (slot, plugin, part) in [
        ("Has Capitals", "auto", "Has Capitals"),
        (&format!("{name}_physical"), "auto", "physical"),
        (&format!("{name}_elsewhere"), "auto", &elsewhere.name),
        ("fine", "nonsense", "nonsense"),
    ] {
        let error = database.error(&format!("select pgstream.setup_check('{slot}', '{plugin}')"));
        assert!(error.contains(part), "{slot}, {plugin}: {error}");
    }
    database.execute(&format!("select pg_drop_replication_slot('{name}_physical')"));
}

fn status_and_check_tell_the_truth(database: Database) {
    let complaints = |database: &Database, function: &str| -> Vec<String> {
        let rows = database.rows(&format!("select name, ok, hint from pgstream.{function}()"));
        assert!(!rows.is_empty());
        let told = rows.into_iter().filter(|row| row[1] != "t" || function == "check" && !row[2].is_empty());
        told.map(|row| format!("{}: {}", row[0], row[2])).collect()
    };
    assert_ne!(complaints(&database, "status"), Vec::<String>::new(), "no slot yet");
    let slot = database.value("select pgstream.setup_check(null, 'auto')");
    database.execute("select pgstream.setup_publications(); select pgstream.setup_lists()");
    database.execute(&format!("select pgstream.setup_slot('{slot}', 'pgoutput')"));
    database.execute(&format!("select pgstream.setup_schemas('{slot}')"));
    assert_eq!(complaints(&database, "status"), Vec::<String>::new());
    database.execute("create table keyless (id int)");
    let told = complaints(&database, "check");
    assert!(told.iter().any(|line| line.contains("identity")), "{told:?}");
}
