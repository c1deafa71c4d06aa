//! The support library itself: what the other tests take for granted.

use std::fs;
use std::net::TcpStream;

use pgstream_tests::{
    difference, sequences, wait_until, Auth, Broker, BrokerOptions, Database, Options, Server, Signal, Stop,
    LONG, SOON,
};

#[test]
fn a_difference_is_seen() {
    let (source, target) = (Database::on_source(), Database::on_target());
    let both = |sql: &str| [&source, &target].map(|database| database.execute(sql));
    both("create table t (id int primary key, v text); create sequence s; insert into t values (1, 'a')");
    assert_eq!(difference(&source, &target), None);
    assert_eq!(sequences(&source)["public.s"], "1,false");

    target.execute("update t set v = 'b'");
    let seen = difference(&source, &target).expect("other rows");
    assert!(seen.starts_with("public.t: 1 rows, md5"), "{seen}");

    target.execute("create index on t (v)");
    let seen = difference(&source, &target).expect("another schema");
    assert!(seen.starts_with("only at the target: t_v_idx; Type: INDEX"), "{seen}");
}

#[test]
fn a_server_survives_being_killed() {
    let server = Server::start("killed", &Options::default());
    let database = server.database();
    database.execute("create table t as select generate_series(1, 1000) n");
    server.kill();
    server.start_again();
    assert_eq!(database.value("select count(*) from t"), "1000");
    server.stop(Stop::Fast);
    server.start_again();
    server.stop(Stop::Immediate);
    assert!(server.log().contains("received immediate shutdown request"), "{}", server.log());
}

#[test]
fn a_server_asks_for_what_it_is_told_to() {
    for (name, auth, verifier) in [("scram", Auth::Scram, "SCRAM-SHA-256"), ("md5", Auth::Md5, "md5")] {
        let options = Options {
            auth,
            password: Some("p@ss/w:rd%"),
            tls: true,
            conf: vec!["max_connections = 9".into()],
        };
        let server = Server::start(name, &options);
        let database = server.database();
        assert_eq!(database.value("show max_connections"), "9");
        let kept = database.value("select rolpassword from pg_authid where rolname = 'postgres'");
        assert!(kept.starts_with(verifier), "{kept}");

        let mut psql = server.client("psql");
        psql.env("PGHOST", "localhost").env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", server.ca());
        let wrong = psql.args(["-Atc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()"]);
        assert!(!wrong.env("PGPASSWORD", "no").output().expect("psql").status.success());
        let right = wrong.env("PGPASSWORD", "p@ss/w:rd%").output().expect("psql");
        assert_eq!(
            String::from_utf8_lossy(&right.stdout),
            "t\n",
            "{}",
            String::from_utf8_lossy(&right.stderr)
        );
        server.stop(Stop::Fast);
    }
}

/// The promise in `support/run.rs`, kept by killing a process that has a server and a broker: this very test binary,
/// once more.
#[test]
fn nothing_outlives_a_killed_process() {
    const INNER: &str = "PGSTREAM_TEST_KILLED";
    if std::env::var_os(INNER).is_some() {
        let server = Server::start("orphan", &Options::default());
        let broker = Broker::start(&BrokerOptions::default());
        println!("broker {}", broker.servers());
        println!("folder {}", server.socket().display());
        std::thread::park();
    }
    let binary = std::env::current_exe().expect("this test binary");
    let mut inner = std::process::Command::new(binary);
    inner.args(["--exact", "harness::nothing_outlives_a_killed_process", "--nocapture"]).env(INNER, "1");
    let output = std::env::temp_dir().join(format!("pgstream-killed-{}", std::process::id()));
    let inner =
        pgstream_tests::Process::spawn(inner.stdout(fs::File::create(&output).expect("a file for output")));
    let (broker, folder) = wait_until("the servers of the inner process", LONG, || {
        let said = fs::read_to_string(&output).ok()?;
        let (_, said) = said.split_once("broker ")?;
        let (broker, said) = said.split_once("\nfolder ")?;
        let (folder, _) = said.split_once('\n')?;
        Some((broker.to_owned(), std::path::PathBuf::from(folder)))
    });
    TcpStream::connect(&broker).expect("a running broker");
    let _ = fs::remove_file(&output);
    let postmaster = fs::read_to_string(folder.join("data/postmaster.pid")).expect("a running postmaster");
    let postmaster = format!("/proc/{}", postmaster.lines().next().expect("its pid"));
    inner.signal(Signal::KILL);
    wait_until("the orphans and their folder gone", SOON, || {
        let alive = fs::read_to_string(format!("{postmaster}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let alive = alive || TcpStream::connect(&broker).is_ok();
        (!alive && !folder.exists()).then_some(())
    });
}
