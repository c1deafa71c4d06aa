//! `select pgstream.init()`: one call of the database's owner, and every way in which it can end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use pgstream_tests::{wait_until, Database, Options, Server, Session, LONG, SOON};
use postgres::error::DbError;

#[test]
fn an_owner_makes_everything_in_one_call() {
    let database = Database::on_source();
    let name = &database.name;
    let mut session = database.session();
    session.execute(&format!(r#"create role "{name}"; alter database "{name}" owner to "{name}""#));
    session.execute(&format!(r#"set role "{name}"; create extension pgstream"#));
    session.execute("create schema s; create table s.t (id int primary key)");
    let ready = session.value("select pgstream.init()");
    assert!(ready.starts_with(&format!("slot pgstream_{name}_slot ready at ")), "{ready}");
    assert_eq!(session.value("select pgstream.init()"), ready, "a second call finds all in place");
    assert_eq!(
        session.rows("select name, hint from pgstream.status() where not ok"),
        Vec::<Vec<String>>::new()
    );
    session.execute("reset role");
    assert_eq!(database.value("select count(*) from pg_publication"), "9");
    assert_eq!(
        database.value("select count(*) from pg_publication_rel where prrelid = 's.t'::regclass"),
        "1"
    );
    session.execute(&format!(
        r#"drop owned by "{name}" cascade; alter database "{name}" owner to postgres; drop role "{name}""#
    ));
}

#[test]
fn a_caller_that_has_written_is_refused() {
    let database = ready();
    let error = failure(&mut database.session(), "begin; insert into t values (1); select pgstream.init()");
    assert_eq!(error.code().code(), "25001", "{error:?}");
    nothing_is_left(&database);
}

/// What a call made is there whatever becomes of the transaction around it.
#[test]
fn the_callers_transaction_does_not_matter() {
    let database = ready();
    for (number, mode) in ["read committed", "repeatable read", "serializable, read only"].iter().enumerate()
    {
        let slot = format!("{}_{number}", database.name);
        let call = format!("select pgstream.init('{slot}')");
        database.execute(&format!("begin isolation level {mode}; select 1; {call}; rollback"));
        assert_eq!(slots(&database), (number + 1).to_string(), "{mode}");
    }
}

#[test]
fn settings_of_the_database_do_not_matter() {
    let database = ready();
    for setting in [
        "search_path = evil",
        "session_replication_role = replica",
        "lock_timeout = '1ms'",
        "default_transaction_isolation = serializable",
        "default_transaction_read_only = on",
        "statement_timeout = '1ms'",
    ] {
        let mut session = database.session();
        session.execute("set statement_timeout = 0; set default_transaction_read_only = off");
        session.execute(&format!(r#"alter database "{}" set {setting}"#, database.name));
        session.execute("select pgstream.init()");
        session.execute("select pgstream.destroy()");
    }
}

#[test]
fn an_open_transaction_is_waited_for() {
    let database = ready();
    let mut writer = database.session();
    writer.execute("begin; create table made_meanwhile (id int primary key)");
    let pid = writer.value("select pg_backend_pid()");
    let error = failure(&mut database.session(), "select pgstream.init(timeout => '2 s')");
    assert_eq!(error.code().code(), "57014", "{error:?}");
    assert!(error.detail().unwrap_or_default().contains(&format!("pid {pid}")), "{error:?}");
    nothing_is_left(&database);

    let caller = in_background(&database, "select pgstream.init()");
    wait_for_worker(&database, "waiting for transactions");
    writer.execute("commit");
    caller.join().expect("the caller's thread").expect("init succeeds");
    let listed = "select count(*) from pg_publication_rel where prrelid = 'made_meanwhile'::regclass";
    assert_eq!(database.value(listed), "1");
}

#[test]
fn an_interrupted_call_leaves_no_slot() {
    // Its own server: what holds a slot up there holds up nobody else's.
    let server = Server::start("interrupted", &Options::default());
    let (database, other) = (server.database(), server.database());
    prepare(&database);
    other.execute("create table t (id serial)");
    // An older transaction of this database is waited for before the slot is made, one of another while it is made.
    for (held_up_in, doing) in [(&database, "waiting for transactions"), (&other, "making the slot")] {
        for (end, whom) in [
            ("pg_cancel_backend", "query like 'select pgstream.init%'"),
            ("pg_terminate_backend", "query like 'select pgstream.init%'"),
            ("pg_cancel_backend", "backend_type = 'pgstream init'"),
            ("pg_terminate_backend", "backend_type = 'pgstream init'"),
        ] {
            let mut writer = held_up_in.session();
            writer.execute("begin; insert into t default values");
            let caller = in_background(&database, "select pgstream.init()");
            wait_for_worker(&database, doing);
            database.execute(&format!("select {end}(pid) from pg_stat_activity where {whom}"));
            let ended = caller.join().expect("the caller's thread").expect_err("an error");
            let code = ended.code().map(|code| code.code().to_owned());
            match end {
                "pg_cancel_backend" => assert_eq!(code.as_deref(), Some("57014"), "{doing}, {whom}: {ended}"),
                // A client may see the connection break before it sees why.
                _ => assert!(matches!(code.as_deref(), Some("57P01") | None), "{doing}, {whom}: {ended}"),
            }
            nothing_is_left(&database);
        }
    }
}

#[test]
fn a_failing_step_takes_the_slot_with_it() {
    let database = ready();
    database.execute(
        "create or replace function pgstream.setup_schemas(slot_name text) returns integer language plpgsql as $$
         begin raise 'no rows' using errcode = 'object_in_use', detail = 'the detail', hint = 'the remedy'; end $$",
    );
    let error = failure(&mut database.session(), "select pgstream.init()");
    let told =
        [error.code().code(), error.message(), error.detail().unwrap_or(""), error.hint().unwrap_or("")];
    assert_eq!(told, ["55006", "no rows", "the detail", "the remedy"]);
    nothing_is_left(&database);

    let slot = format!("{}_own", database.name);
    database.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    failure(&mut database.session(), &format!("select pgstream.init('{slot}')"));
    assert_eq!(slots(&database), "1", "a slot that was there before stays");
}

/// The caller waits for the worker without a lock, so the server sees no deadlock.
#[test]
fn a_deadlock_with_the_caller_is_seen() {
    let database = ready();
    for (lock, call) in [
        ("lock table t in share mode", "select pgstream.init()"),
        ("select from keyless", "select pgstream.init(replica_identity_full => true)"),
    ] {
        let error = failure(&mut database.session(), &format!("begin; {lock}; {call}"));
        assert_eq!(
            (error.code().code(), error.hint()),
            ("40P01", Some("Call it in a transaction of its own."))
        );
        nothing_is_left(&database);
    }

    let mut caller = database.session();
    caller.execute("begin isolation level repeatable read; select 1");
    let pid = caller.value("select pg_backend_pid()");
    let index = in_background(&database, "create index concurrently on t (id)");
    let waits = format!("exists (select from pg_stat_activity where {pid} = any (pg_blocking_pids(pid)))");
    wait_until("the index build waits for the caller", SOON, || {
        database.session().holds(&waits).then_some(())
    });
    let error = failure(&mut caller, "select pgstream.init()");
    assert_eq!(error.code().code(), "40P01", "{error:?}");
    assert!(error.hint().unwrap_or_default().contains("index"), "{error:?}");
    drop(caller);
    index.join().expect("the index's thread").expect("the index is built");
    database.execute("select pgstream.init()");
}

#[test]
fn calls_at_the_same_time_take_turns() {
    let database = ready();
    let calls = (0..4).map(|number| {
        in_background(&database, &format!("select pgstream.init('{}_{}')", database.name, number % 2))
    });
    for call in calls.collect::<Vec<_>>() {
        call.join().expect("a caller's thread").expect("init succeeds");
    }
    assert_eq!(slots(&database), "2");
}

#[test]
fn a_server_that_lacks_something_says_what() {
    for (name, conf, code) in [
        ("no_workers", "max_worker_processes = 0", "53400"),
        ("no_slots", "max_replication_slots = 0", "53400"),
        ("replica", "wal_level = replica", "55000"),
    ] {
        let server = Server::start(name, &Options { conf: vec![conf.into()], ..Options::default() });
        let database = server.database();
        database.execute("create extension pgstream");
        let error = failure(&mut database.session(), "select pgstream.init()");
        assert_eq!(error.code().code(), code, "{conf}: {error:?}");
        assert!(error.hint().is_some(), "{conf}: {error:?}");
        assert_eq!(
            database.value("select count(*) from pg_publication"),
            "0",
            "{conf}: refused before anything is made"
        );
    }
}

/// Others write all through the call, and one makes a table in a transaction that is open across its first step:
/// from where the slot starts every change of every transaction is there.
#[test]
fn writers_lose_nothing_and_fail_nowhere() {
    let database = ready();
    let (name, reference) = (&database.name, format!("{}_reference", database.name));
    database.execute("create table whole (v int); alter table whole replica identity full");
    database.execute(&format!("select pg_create_logical_replication_slot('{reference}', 'test_decoding')"));
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..3).map(|_| {
        let (mut session, stop) = (database.session(), stop.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                session.execute(
                    "insert into t default values; insert into keyless values ('x'); insert into whole values (1);
                     update t set id = -id where id = (select max(id) from t); update whole set v = v + 1 where v < 3;
                     delete from t where id in (select id from t where id > 0 order by id limit 1 for update skip locked)",
                );
            }
        })
    });
    let writers = writers.collect::<Vec<_>>();
    let mut maker = database.session();
    maker.execute("begin; create table late (id int primary key)");
    let caller = in_background(&database, "select pgstream.init()");
    wait_for_worker(&database, "waiting for transactions");
    maker.execute("insert into late values (1); commit; insert into late values (2); update late set id = 3 where id = 2");
    caller.join().expect("the caller's thread").expect("init succeeds");
    maker.execute("update late set id = 4 where id = 3; delete from late");
    let written = database.value("select txid_current() + 100");
    wait_until("more is written", LONG, || {
        database.session().holds(&format!("txid_current() > {written}")).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("no writer fails");
    }

    let lists = (1..=8).map(|list| format!(",pgstream_changes_{list}")).collect::<String>();
    let seen = database.rows(&format!(
        "with sent as (
             select xid, count(*) filter (where kind = 'I') i, count(*) filter (where kind = 'U') u, count(*) filter (where kind = 'D') d
             from (select xid, chr(get_byte(data, 0)) kind from pg_logical_slot_peek_binary_changes(
                 'pgstream_{name}_slot', null, null, 'proto_version', '1', 'publication_names', 'pgstream_inserts{lists}')) m
             group by xid),
         done as (
             select xid, count(*) filter (where data like '%: INSERT:%') i,
                    count(*) filter (where data ~ '^table public.(t|whole|late): UPDATE:') u,
                    count(*) filter (where data ~ '^table public.(t|whole|late): DELETE:') d, max(lsn) as lsn
             from pg_logical_slot_peek_changes('{reference}', null, null) group by xid)
         select count(*) filter (where sent.xid is not null and done.xid is not null),
                count(*) filter (where (sent.i, sent.u, sent.d) is distinct from (done.i, done.u, done.d))
         from sent full join done using (xid)
         where sent.xid is not null
            or done.lsn > (select start_lsn from pgstream.slots where slot_name = 'pgstream_{name}_slot') and done.i + done.u + done.d > 0"
    ));
    let [both, different] = [0, 1].map(|column: usize| seen[0][column].parse::<u32>().expect("a count"));
    assert!(both >= 100, "{both} transactions since the slot was made");
    assert_eq!(different, 0, "of {both} transactions");
}

fn ready() -> Database {
    let database = Database::on_source();
    prepare(&database);
    database
}

fn prepare(database: &Database) {
    database.execute("create extension pgstream");
    database.execute("create table t (id serial primary key); create table keyless (v text)");
}

fn failure(session: &mut Session, sql: &str) -> DbError {
    let Err(error) = session.client().batch_execute(sql) else { panic!("no error from: {sql}") };
    session.client().batch_execute("rollback").unwrap_or_default();
    error.as_db_error().unwrap_or_else(|| panic!("{error} from: {sql}")).clone()
}

fn slots(database: &Database) -> String {
    database.value("select count(*) from pg_replication_slots where database = current_database()")
}

/// The call has ended when its error arrives, and its worker with it, so there is nothing to wait for; only after
/// the end of the calling session itself.
fn nothing_is_left(database: &Database) {
    let gone = "not exists (select from pg_stat_activity where backend_type = 'pgstream init' and datname = current_database())";
    wait_until("the worker has ended", SOON, || database.session().holds(gone).then_some(()));
    assert_eq!(slots(database), "0");
}

fn wait_for_worker(database: &Database, doing: &str) {
    let condition = format!(
        "exists (select from pg_stat_activity where backend_type = 'pgstream init' \
         and datname = current_database() and query like '{doing}%')"
    );
    wait_until(doing, LONG, || database.session().holds(&condition).then_some(()));
}

type Call = thread::JoinHandle<Result<(), postgres::Error>>;

fn in_background(database: &Database, sql: &str) -> Call {
    let (mut session, sql) = (database.session(), sql.to_owned());
    thread::spawn(move || session.client().batch_execute(&sql))
}
