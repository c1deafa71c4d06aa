//! The steps of init and destroy, as the command line calls them; preflight errors with their remedies.

use pgstream_tests::{Database, Server};

use super::on_both_installs;

on_both_installs!(
    steps_make_a_slot_and_first_rows,
    preflight_refuses_with_a_remedy,
    status_and_check_tell_the_truth,
    a_slot_made_anew_has_a_row_of_its_own,
    versions_are_acknowledged_twice
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

fn a_slot_made_anew_has_a_row_of_its_own(database: Database) {
    let slot = database.value("select pgstream.setup_check(null, 'auto')");
    let steps = |database: &Database| {
        database.execute("select pgstream.setup_publications(); select pgstream.setup_lists()");
        database.execute(&format!("select pgstream.setup_slot('{slot}', 'pgoutput')"));
        database.execute(&format!("select pgstream.setup_schemas('{slot}')"));
    };
    database.execute("create table t (id int)");
    steps(&database);
    let row = "select position = start_lsn and start_lsn = confirmed_flush_lsn, next_xid, position
        from pgstream.slots join pg_replication_slots using (slot_name)";
    let first = database.rows(row).remove(0);
    let next_xid = |row: &[String]| row[1].parse::<u64>().expect("a transaction id");
    let now = database.value("select pg_snapshot_xmax(pg_current_snapshot())").parse::<u64>().expect("one");
    assert_eq!(first[0], "t");
    assert!(next_xid(&first) <= now && next_xid(&first) + 100 > now, "{first:?}, now {now}");

    database.execute(&format!("select pgstream.move_slot('{slot}', 'FFFFFFFF/0')"));
    steps(&database);
    let stored = "select stored from pgstream.slot_position";
    assert_eq!(database.value(&format!("{stored}('{slot}')")), "FFFFFFFF/0", "the slot is still there");
    database.execute(&format!("select pg_drop_replication_slot('{slot}')"));
    database.execute("insert into t values (1)");
    steps(&database);
    let again = database.rows(row).remove(0);
    assert_eq!(again[0], "t", "{again:?}");
    assert!(next_xid(&again) > next_xid(&first) && again[2] != "FFFFFFFF/0", "{first:?}, {again:?}");
    assert_eq!(database.value("select count(*) from pgstream.schema_log_acks"), "1");

    database.execute("select pgstream.destroy()");
    assert_eq!(database.value(&format!("{stored}('{slot}')")), "");
}

fn versions_are_acknowledged_twice(database: Database) {
    database.execute(
        "create schema s; create table s.t (id int); alter table s.t add c int; create table u (id int)",
    );
    database.execute("insert into pgstream.schema_log_acks values ('other', 's', 1, '0/1')");
    let call = |versions: &str, delivered: &str| {
        let schemas =
            versions.split(',').filter(|version| !version.is_empty()).map(|_| "s").collect::<Vec<_>>();
        let commits = schemas.iter().map(|_| "0/10").collect::<Vec<_>>().join(",");
        database.value(&format!(
            "select pgstream.acknowledge('slot', '{{{}}}', '{{{versions}}}', '{{{commits}}}', {delivered})",
            schemas.join(",")
        ))
    };
    let acked = || {
        database.rows("select version from pgstream.schema_log where acked and schema_name = 's' order by 1")
    };
    let newest = database.value("select max(version) from pgstream.schema_log where schema_name = 's'");
    assert_eq!(call(&newest, "null"), "0");
    assert_eq!(acked(), Vec::<Vec<String>>::new(), "not before the destination has it");
    assert_eq!(call("", "'0/F'"), "0");
    assert_eq!(acked(), Vec::<Vec<String>>::new(), "this commit is later");
    assert_eq!(call("", "'0/10'"), "0");
    assert_eq!(acked(), [[newest.clone()]]);

    assert_eq!(call(&format!("1,{newest},999"), "'0/10'"), "1", "one has no row");
    assert_eq!(acked(), [["1".to_owned()], [newest.clone()]]);
    let acks = "select count(*) from pgstream.schema_log_acks where slot_name = 'slot'";
    assert_eq!(database.value(acks), "3");
    assert_eq!(call(&format!("1,{newest},999"), "'0/10'"), "1", "again changes nothing");
    assert_eq!(database.value(acks), "3");

    database
        .execute(&format!("delete from pgstream.schema_log where schema_name = 's' and version < {newest}"));
    call("999", "'0/10'");
    assert_eq!(database.value(acks), "2", "what is older than the oldest version goes");
    assert_eq!(database.value("select count(*) from pgstream.schema_log_acks"), "3", "of this slot only");
}
