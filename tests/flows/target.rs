//! What the target is and may: an ordinary login, rows that are already there, rows that are missing.

use pgstream_tests::{assert_same, Database, Sidecar, SOON};

use super::{init, slot};

/// Streams `table` to a target where `before` was run as well.
fn start(table: &str, before: &str, action: Option<&str>) -> (Database, Database, Sidecar) {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(table);
    target.execute(table);
    target.execute(before);
    init(&source);
    let mut sidecar = Sidecar::replicate(&source, &target);
    if let Some(action) = action {
        sidecar = sidecar.env("PGSTREAM_POSTGRES_WRITER_ON_CONFLICT_ACTION", action);
    }
    let sidecar = sidecar.start();
    sidecar.wait_for_line("streaming", SOON);
    (source, target, sidecar)
}

const TABLE: &str = "create table t (id int primary key, v text)";
const THERE: &str = "insert into t values (1, 'theirs')";
const WORK: &str = "insert into t values (1, 'ours'), (2, 'new'); update t set v = 'changed' where id = 2";

#[test]
fn a_row_that_is_already_there_stops_by_default() {
    let (source, target, sidecar) = start(TABLE, THERE, None);
    source.execute(WORK);
    assert_eq!(sidecar.wait(SOON).code(), Some(1));
    let said = sidecar.stderr();
    assert!(said.contains("public.t") && said.contains("on_conflict_action"), "{said}");
    assert_eq!(
        target.value("select string_agg(v, ',') from t"),
        "theirs",
        "nothing of the transaction is there"
    );
}

#[test]
fn the_sources_row_wins_when_asked_for() {
    let (source, target, _sidecar) = start(TABLE, THERE, Some("update"));
    source.execute(WORK);
    assert_same(&source, &target);
    // A row that is missing is made.
    target.execute("delete from t where id = 2");
    source.execute("update t set v = 'again' where id = 2");
    assert_same(&source, &target);
}

#[test]
fn the_targets_row_wins_when_asked_for() {
    let (source, target, _sidecar) = start(TABLE, THERE, Some("nothing"));
    source.execute(WORK);
    source.wait_confirmed(&slot(&source));
    assert_eq!(target.value("select string_agg(v, ',' order by id) from t"), "theirs,changed");
    target.execute("delete from t where id = 2");
    source.execute("update t set v = 'again' where id = 2; insert into t values (3, 'x')");
    source.wait_confirmed(&slot(&source));
    assert_eq!(target.value("select string_agg(v, ',' order by id) from t"), "theirs,x");
}

#[test]
fn a_missing_row_stops_by_default() {
    let (source, target, sidecar) = start(TABLE, "", None);
    source.execute("insert into t values (1, 'a')");
    source.wait_confirmed(&slot(&source));
    target.execute("delete from t");
    source.execute("update t set v = 'b'");
    assert_eq!(sidecar.wait(SOON).code(), Some(1));
    assert!(sidecar.stderr().contains("does not exist at the target"), "{}", sidecar.stderr());
}

/// Without the right to a replication origin the position is a row of the same transaction.
#[test]
fn an_ordinary_login_at_the_target() {
    let (source, target) = (Database::on_source(), Database::on_target());
    let role = format!("ordinary_{}", std::process::id());
    target.execute(&format!(
        "create role {role} login; grant create on database \"{}\" to {role}; grant create on schema public to {role}",
        target.name
    ));
    init(&source);
    let url = target.url().replace("postgres@", &format!("{role}@"));
    let args = [
        "run",
        "--source",
        "postgres",
        "--source-url",
        &source.url(),
        "--target",
        "postgres",
        "--target-url",
        &url,
    ];
    let mut sidecar = Sidecar::new(args).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("create table log (n int); create table k (id int primary key, v text)");
    for round in 0..5 {
        source.execute(&format!("insert into log select {round} from generate_series(1, 200); insert into k values ({round}, 'v')"));
        sidecar.kill();
        sidecar.start_again();
    }
    source.execute("update k set v = 'w'; delete from k where id = 0");
    source.wait_confirmed(&slot(&source));
    let rows = |database: &Database| {
        database
            .value("select count(*) || ' ' || (select string_agg(id || v, ',' order by id) from k) from log")
    };
    assert_eq!(rows(&target), rows(&source));
    assert_eq!(
        target.value("select count(*) from pg_replication_origin where roname like '%an_ordinary_login%'"),
        "0"
    );
    assert_eq!(sidecar.stop().code(), Some(0));
    target.execute(&format!("drop owned by {role} cascade; drop role {role}"));
}
