//! Random kills under load: afterwards both sides are equal, and a table without key has every row exactly once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use pgstream_tests::{assert_same, sample, wait_until, Database, Options, Server, Sidecar, LONG, SOON};

use crate::flows::{init, slot};

/// Kills of one kind.
fn rounds() -> u32 {
    sample(10, 200)
}

const TABLES: &str = "create table t (id int primary key, v text, n int not null default 0); create table log (n bigint, at timestamptz default now())";

/// One step of the load: rows of every kind, and now and then DDL, in transactions of different size.
const STEP: &str = "do $$
declare x int := (random() * 1000)::int; name text;
begin
    insert into t select g, 'v' || g from generate_series(x, x + 20) g on conflict (id) do update set n = t.n + 1;
    update t set v = v || '.', id = case when random() < 0.1 then id + 100000 else id end where id between x and x + 5;
    delete from t where id between x + 10 and x + 12 or length(v) > 20;
    insert into log select nextval('counter') from generate_series(1, 10);
    if random() < 0.2 then
        name := 'extra_' || nextval('names');
        execute format('create table %I (id int primary key, v text)', name);
        execute format('insert into %I select g, ''x'' from generate_series(1, 5) g', name);
        execute format('alter table %I add column w int default 3', name);
        execute format('update %I set w = id', name);
        if random() < 0.5 then execute format('drop table %I', name); end if;
    end if;
exception when unique_violation then null;
end $$";

struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(source: &Database) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, mut session) = (Arc::clone(&stop), source.session());
        // A target that is killed again and again falls behind a load that does not care; what is asked here is not who is faster.
        let keeps_up = format!(
            "(select pg_current_wal_lsn() - confirmed_flush_lsn < 16 << 20 from pg_replication_slots where slot_name = '{}')",
            slot(source)
        );
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let step = if session.holds(&keeps_up) { STEP } else { "select pg_sleep(0.01)" };
                session.execute(step);
            }
        });
        Load { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the load failed");
        }
    }
}

/// Runs the load while `kill` strikes, then compares. Between two strikes at least one more transaction arrives, so that each
/// hits a stream at work.
fn survive(source: &Database, target: &Database, sidecar: &mut Sidecar, mut kill: impl FnMut(&mut Sidecar)) {
    let load = Load::start(source);
    let mut seen = String::new();
    for _ in 0..rounds() {
        wait_until("progress at the target", LONG, || {
            // The target may be down or recovering just now.
            let now = std::panic::catch_unwind(|| {
                target.value("select count(*) || ' ' || coalesce(max(n), 0) from log")
            })
            .ok()?;
            (std::mem::replace(&mut seen, now.clone()) != now).then_some(())
        });
        let moment =
            Duration::from_millis(u64::from(std::process::id().wrapping_mul(seen.len() as u32 + 7) % 97));
        let begun = std::time::Instant::now();
        while begun.elapsed() < moment {
            std::hint::spin_loop();
        }
        kill(sidecar);
    }
    drop(load);
    source.wait_confirmed(&slot(source));
    assert_same(source, target);
    let twice = "select count(*) - count(distinct n) from log";
    assert_eq!((source.value(twice), target.value(twice)), ("0".to_owned(), "0".to_owned()));
    assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
}

fn prepare(source: &Database, target: &Database) -> Sidecar {
    source.execute("create sequence counter; create sequence names");
    target.execute("create sequence counter; create sequence names");
    for side in [source, target] {
        side.execute(TABLES);
    }
    init(source);
    let sidecar = Sidecar::replicate(source, target).start();
    sidecar.wait_for_line("streaming", SOON);
    sidecar
}

#[test]
fn kills_of_the_sidecar() {
    let (source, target) = (Database::on_source(), Database::on_target());
    let mut sidecar = prepare(&source, &target);
    survive(&source, &target, &mut sidecar, |sidecar| {
        sidecar.kill();
        sidecar.start_again();
    });
}

#[test]
fn kills_of_the_walsender() {
    let (source, target) = (Database::on_source(), Database::on_target());
    let mut sidecar = prepare(&source, &target);
    let name = slot(&source);
    survive(&source, &target, &mut sidecar, |_| {
        let terminate = format!("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{name}' and active");
        source.rows(&terminate);
    });
}

#[test]
fn kills_of_the_target_postmaster() {
    let server = Server::start("target_killed", &Options::default());
    let (source, target) = (Database::on_source(), server.database());
    let mut sidecar = prepare(&source, &target);
    survive(&source, &target, &mut sidecar, |_| {
        server.kill();
        server.start_again();
    });
}
