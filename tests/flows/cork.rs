//! The source sends in large pieces: the same bytes in the same order, nothing later, and a walsender that works less.

use std::time::{Duration, Instant};

use pgstream_tests::{
    assert_same, Database, Options, Sent, Server, Sidecar, Signal, Stop, Walsender, LONG, SOON,
};

use super::{init, slot, Stream};

/// Rows of every size, in transactions of every size.
const MIXED: &str = "
    do $$ begin
        for i in 1..300 loop
            insert into mixed select i * 1000 + n, repeat('x', (i * n) % 300) from generate_series(1, i % 60) n;
            update mixed set v = v || '.' where id % 1000 = 1 and id > i * 900;
            delete from mixed where id % 1000 = 2 and id < i * 500;
            if i % 50 = 0 then
                execute format('alter table mixed add c%s int default 7', i);
                insert into mixed values (-i, (select string_agg(md5(n::text), '') from generate_series(1, 200000) n));
            end if;
            commit;
        end loop;
    end $$";
const TABLE: &str = "create table mixed (id int primary key, v text)";
const END: &str = "select pg_logical_emit_message(true, 'test', 'the end')";
/// A commit arrives sooner than this; a message that is stuck would wait for the server's next sign of life.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A database with the extension, a table, a publication for all and slots.
fn published(slots: &[&str]) -> Database {
    let source = Database::on_source();
    publish(&source, slots);
    source
}

fn publish(source: &Database, slots: &[&str]) {
    source.execute("create extension pgstream; create table t (id int primary key, v text)");
    source.execute("create publication everything for all tables");
    for slot in slots {
        source.execute(&format!(
            "select pg_create_logical_replication_slot('{}_{slot}', 'pgoutput')",
            source.name
        ));
    }
}

/// A stream from one of these slots that is corked, or not.
fn stream(source: &Database, slot: &str, corked: bool) -> Walsender {
    let mut walsender = Walsender::connect(source);
    if corked {
        assert_eq!(walsender.query("select pgstream.cork_on()").as_deref(), Ok("t"));
    }
    walsender.start(&format!("{}_{slot}", source.name), "everything");
    walsender
}

/// All of a stream up to the message that ends it.
fn all(walsender: &mut Walsender) -> Vec<Sent> {
    let mut sent = Vec::new();
    loop {
        let next = walsender.next(LONG).expect("the stream goes on");
        let ended = matches!(&next, Sent::Message(_, body) if body.ends_with(b"the end"));
        sent.push(next);
        if ended {
            return sent;
        }
    }
}

#[test]
fn the_same_bytes_in_the_same_order() {
    let source = published(&["plain", "corked"]);
    [TABLE, MIXED, "truncate mixed", END].iter().for_each(|sql| source.execute(sql));
    let [plain, corked] = [false, true].map(|corked| {
        let sent = all(&mut stream(&source, if corked { "corked" } else { "plain" }, corked));
        // A table is described anew, with its types, whenever the server has looked at it again, for an autovacuum as well.
        let is_message =
            |sent: &Sent| matches!(sent, Sent::Message(_, body) if !matches!(body[0], b'R' | b'Y'));
        sent.into_iter().filter(is_message).collect::<Vec<_>>()
    });
    assert!(plain.len() > 10_000, "{} messages: the workload itself is wrong", plain.len());
    let differs = plain.iter().zip(&corked).position(|(plain, corked)| plain != corked);
    let shown = |sent: &[Sent]| {
        let at = differs.unwrap_or(sent.len().saturating_sub(1)).saturating_sub(2);
        let one = |sent: &Sent| match sent {
            Sent::Message(at, body) => {
                format!("{at:X} {}", String::from_utf8_lossy(&body[..body.len().min(80)]))
            }
            Sent::Keepalive(at, _) => format!("{at:X} keepalive"),
        };
        sent.iter().skip(at).take(5).map(one).collect::<Vec<_>>()
    };
    assert!(
        plain == corked,
        "{} messages, corked {}; from {differs:?} on {:#?} and {:#?}",
        plain.len(),
        corked.len(),
        shown(&plain),
        shown(&corked)
    );
}

/// Who confirms what a keepalive says must not pass over a commit that comes behind it.
#[test]
fn a_keepalive_never_overtakes_a_commit() {
    let source = published(&["slot"]);
    source
        .execute("do $$ begin for i in 1..5000 loop insert into t values (i, ''); commit; end loop; end $$");
    source.execute(END);
    let mut walsender = stream(&source, "slot", true);
    let (mut said, mut commits) = (0, 0);
    while commits <= 5000 {
        walsender.confirm(0); // the server answers with keepalives
        match walsender.next(SOON).expect("the stream goes on") {
            Sent::Keepalive(position, _) => said = said.max(position),
            Sent::Message(_, body) if body[0] == b'C' => {
                let commit = u64::from_be_bytes(body[2..10].try_into().expect("eight bytes"));
                assert!(commit >= said, "commit {commit:X} after the keepalive {said:X}");
                commits += 1;
            }
            Sent::Message(..) => {}
        }
    }
}

#[test]
fn each_single_commit_arrives_at_once() {
    let source = published(&["slot"]);
    let mut walsender = stream(&source, "slot", true);
    let mut session = source.session();
    for id in 0..300 {
        session.execute(&format!("insert into t values ({id}, repeat('x', {id} * 100))"));
        let begun = Instant::now();
        loop {
            let left = AT_ONCE.checked_sub(begun.elapsed()).expect("the commit in time");
            let next = walsender.next(left).expect("the commit in time");
            if matches!(&next, Sent::Message(_, body) if body[0] == b'C') {
                break;
            }
        }
    }
}

/// The server goes to sleep with more WAL before it than it takes to hold: the record that comes next is not whole.
#[test]
fn a_commit_does_not_wait_for_a_record_that_is_being_written() {
    // Nobody but us writes, and nothing else wakes a walsender.
    let conf = ["wal_buffers = '64kB'", "autovacuum = off", "wal_writer_delay = '10s'"];
    let conf = conf.map(str::to_owned).to_vec();
    let server = Server::start("half", &Options { conf, ..Options::default() });
    let source = server.database();
    publish(&source, &["slot"]);
    let mut walsender = stream(&source, "slot", true);
    let mut session = source.session();
    let sender: i32 = session.value("select active_pid from pg_replication_slots").parse().expect("a pid");
    // Nobody asks for this record to be on disk: it is when a segment is full. 1 MiB before that:
    session.execute(
        "select pg_logical_emit_message(false, 'fill', repeat('x', ((31 << 20) - 1 - (pg_current_wal_insert_lsn() - '0/0') % (16 << 20))::int % (16 << 20)))",
    );
    signal(sender, Signal::STOP);
    session.execute("do $$ begin for i in 1..3 loop insert into t values (i); commit; end loop; end $$");
    let committed = session.value("select pg_current_wal_insert_lsn()");

    let mut writer = source.session();
    let pid: i32 = writer.value("select pg_backend_pid()").parse().expect("a pid");
    let writing = std::thread::spawn(move || {
        writer.execute("select pg_logical_emit_message(false, 'large', repeat('x', 300 << 20))");
    });
    session.time_until(&format!("pg_current_wal_flush_lsn() - '{committed}' > 1 << 19"), LONG);
    signal(pid, Signal::STOP);
    let begun = Instant::now();
    signal(sender, Signal::CONT);
    let mut commits = 0;
    while commits < 3 {
        let left = AT_ONCE.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        match walsender.next(left) {
            Some(Sent::Message(_, body)) if body[0] == b'C' => commits += 1,
            Some(_) => {}
            None => break,
        }
    }
    let half = session.value(&format!("select pg_current_wal_flush_lsn() - '{committed}'"));
    signal(pid, Signal::CONT);
    writing.join().expect("the record is written");
    assert_eq!(commits, 3, "commits that arrived in {AT_ONCE:?}, {half} bytes of the next record on disk");
}

fn signal(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("send a signal");
}

/// The server asks after half of its timeout, and hangs up after all of it.
#[test]
fn who_is_asked_for_a_sign_of_life_hears_it() {
    let conf = vec!["wal_sender_timeout = '6s'".to_owned()];
    let server = Server::start("impatient", &Options { conf, ..Options::default() });
    let source = server.database();
    publish(&source, &["slot"]);
    let mut walsender = stream(&source, "slot", true);
    for id in 0..3 {
        source.execute(&format!("insert into t values ({id}, 'x')"));
        let mut messages = 0;
        while !matches!(walsender.next(SOON).expect("the server asks"), Sent::Keepalive(_, true)) {
            messages += 1;
        }
        assert!(messages > 0, "the row comes before");
        walsender.confirm(0);
    }
}

/// `run` to standard output, which says what it does.
fn corked(url: &str, slot: &str) -> Sidecar {
    let run = Sidecar::new(["run", "--source-url", url, "--replication-slot", slot]);
    run.arg("--log-level").arg("debug")
}

#[test]
fn standard_output_is_the_same() {
    let source = Database::on_source();
    assert_same_output(&source, &source.url());
}

#[test]
fn standard_output_is_the_same_over_tls() {
    let server = Server::start("corked_tls", &Options { tls: true, ..Options::default() });
    let source = server.database();
    assert_same_output(&source, &format!("{}?sslmode=require", source.url()));
}

/// What `run` prints of a workload, with and without.
fn assert_same_output(source: &Database, url: &str) {
    let slots = ["plain", "corked"].map(|kind| format!("{}_{kind}", source.name));
    for slot in &slots {
        let init = Sidecar::new(["init", "--postgres-url", url, "--replication-slot", slot]).finish();
        assert_eq!(init.code, Some(0), "{}", init.stderr);
    }
    [TABLE, MIXED, "truncate mixed", END].iter().for_each(|sql| source.execute(sql));
    let [plain, corked] = ["off", "auto"].map(|cork| {
        let slot = &slots[usize::from(cork == "auto")];
        let sidecar = corked(url, slot).env("PGSTREAM_POSTGRES_REPLICATION_CORK", cork).start();
        sidecar.wait_for_line("streaming", SOON);
        sidecar.time_until_printed("the end");
        assert!(sidecar.stop().success(), "{}", sidecar.stderr());
        assert_eq!(sidecar.stderr().contains("the source sends in large pieces"), cork == "auto");
        sidecar.stdout()
    });
    assert!(plain.lines().count() > 10_000, "the workload itself is wrong");
    assert!(plain == corked, "the output differs");
}

#[test]
fn rows_of_several_megabytes_pass() {
    let stream = Stream::start("create table t (id int primary key, v text)");
    for size in ["7 << 20", "1", "64 << 10", "(64 << 10) - 100", "13 << 20", "3"] {
        stream.source.execute(&format!(
            "insert into t select coalesce(max(id), 0) + 1, (select string_agg(md5(n::text), '') from generate_series(1, ({size}) / 32 + 1) n) from t"
        ));
    }
    stream.assert_arrived();
}

#[test]
fn a_fast_shutdown_stays_fast() {
    let server = Server::start("corked", &Options::default());
    let (source, target) = (server.database(), Database::on_target());
    for side in [&source, &target] {
        side.execute("create table t (id int primary key)");
    }
    init(&source);
    let sidecar = Sidecar::replicate(&source, &target).arg("--log-level").arg("debug").start();
    sidecar.wait_for_line("the source sends in large pieces", SOON);
    sidecar.wait_for_line("streaming", SOON);
    source.execute("do $$ begin for i in 1..1000 loop insert into t values (i); commit; end loop; end $$");
    let begun = Instant::now();
    server.stop(Stop::Fast);
    assert!(begun.elapsed() < AT_ONCE, "a fast shutdown took {:?}", begun.elapsed());
    server.start_again();
    source.execute("insert into t values (1001)");
    assert_same(&source, &target);
}

#[test]
fn refused_outside_a_walsender() {
    let source = published(&[]);
    let refused =
        "55000 pgstream.cork_on() works only on a replication connection to a database of a primary server";
    assert_eq!(source.error("select pgstream.cork_on()"), refused);
    let mut session = source.session();
    session.execute("create temp table x (); set role pg_monitor");
    assert_eq!(session.error("select pgstream.cork_on()"), refused, "anybody may ask");
}

#[test]
fn the_servers_setting_switches_it_off() {
    let source = published(&[]);
    source.execute(&format!("alter database \"{}\" set pgstream.cork = off", source.name));
    assert_eq!(Walsender::connect(&source).query("select pgstream.cork_on()").as_deref(), Ok("f"));
    source.execute(&format!("alter database \"{}\" reset pgstream.cork", source.name));
    assert_eq!(Walsender::connect(&source).query("select pgstream.cork_on()").as_deref(), Ok("t"));
}

#[test]
fn a_plain_install_goes_without() {
    let source = Database::on_source();
    let plain = crate::sql::plain_script();
    source.execute(&plain);
    source.execute("create table t (id int primary key)");
    init(&source);
    let sidecar = corked(&source.url(), &slot(&source)).start();
    sidecar.wait_for_line("the source sends message by message", SOON);
    source.execute("insert into t values (17)");
    sidecar.wait_for_line("\"value\":17}", SOON);
}
