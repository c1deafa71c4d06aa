//! Every way to reach a server, and what happens when it goes away.

use pgstream_tests::{assert_same, wait_until, Auth, Database, Options, Server, Sidecar, SOON};

use crate::flows::{init, slot, Stream};

const PASSWORD: &str = "p@ss/w:rd%?#& '\"\\ä";

/// `PASSWORD` as a URL needs it.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// Streams a row from a source reached as `url(port, database)` says to the same server reached in the same way.
fn streams(server: &Server, source: &Database, url: impl Fn(&str) -> String) {
    let target = server_database(server, source);
    for side in [source, &target] {
        side.execute("create table t (id int primary key)");
    }
    let (from, to) = (url(&source.name), url(&target.name));
    let finished = Sidecar::new(["init", "--postgres-url", &from]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let args =
        ["run", "--source", "postgres", "--source-url", &from, "--target", "postgres", "--target-url", &to];
    let sidecar = Sidecar::new(args).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1)");
    assert_same(source, &target);
    assert_eq!(sidecar.stop().code(), Some(0));
    assert!(!sidecar.stderr().contains(PASSWORD), "{}", sidecar.stderr());
}

fn server_database(server: &Server, beside: &Database) -> Database {
    assert_eq!(server.port, beside.server.port);
    beside.server.database()
}

#[test]
fn passwords_of_any_characters_by_scram_and_md5() {
    for (name, auth) in [("by_scram", Auth::Scram), ("by_md5", Auth::Md5)] {
        let server = Server::start(name, &Options { auth, password: Some(PASSWORD), ..Options::default() });
        let port = server.port;
        let secret = encoded(PASSWORD);
        streams(&server, &server.database(), |database| {
            format!("postgres://postgres:{secret}@127.0.0.1:{port}/{database}")
        });
    }
}

#[test]
fn a_verified_certificate() {
    let server = Server::start(
        "by_tls",
        &Options { auth: Auth::Scram, password: Some(PASSWORD), tls: true, ..Options::default() },
    );
    let (port, secret, ca) = (server.port, encoded(PASSWORD), server.ca());
    let ca = ca.display();
    streams(&server, &server.database(), |database| {
        format!(
            "postgres://postgres:{secret}@localhost:{port}/{database}?sslmode=verify-full&sslrootcert={ca}"
        )
    });
    streams(&server, &server.database(), |database| {
        format!("postgres://postgres:{secret}@127.0.0.1:{port}/{database}?sslmode=require")
    });
    let in_use = server.database();
    let at = |rest: &str| format!("postgres://postgres:{secret}@{rest}");
    for (url, why) in [
        (
            at(&format!("127.0.0.1:{port}/{}?sslmode=verify-full&sslrootcert={ca}", in_use.name)),
            "another host name",
        ),
        (at(&format!("localhost:{port}/{}?sslmode=verify-full", in_use.name)), "an authority nobody trusts"),
        (
            at(&format!("localhost:{port}/{}?sslmode=verify-ca&sslrootcert=/nowhere", in_use.name)),
            "a missing file",
        ),
    ] {
        let finished = Sidecar::new(["init", "--postgres-url", &url]).finish();
        assert_eq!(finished.code, Some(1), "{why}: {}", finished.stderr);
        assert!(!finished.stderr.contains(&secret), "{why}: {}", finished.stderr);
    }
    let plain = Database::on_source();
    let finished =
        Sidecar::new(["init", "--postgres-url", &format!("{}?sslmode=require", plain.url())]).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("TLS"), "{}", finished.stderr);
}

#[test]
fn a_unix_socket_and_an_ipv6_address() {
    let server = Server::start(
        "by_socket",
        &Options { conf: vec!["listen_addresses = '127.0.0.1,::1'".into()], ..Options::default() },
    );
    let (port, directory) = (server.port, server.socket().display().to_string());
    streams(&server, &server.database(), |database| {
        format!("postgres://postgres@{}:{port}/{database}", encoded(&directory))
    });
    streams(&server, &server.database(), |database| {
        format!("host={directory} port={port} user=postgres dbname={database}")
    });
    streams(&server, &server.database(), |database| format!("postgres://postgres@[::1]:{port}/{database}"));
}

#[test]
fn a_lost_connection_is_taken_up_again_but_never_against_a_refusal() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let role = format!("streamer_{}", std::process::id());
    source.execute(&format!(
        "create role {role} login replication; grant usage on schema pgstream to {role}; grant select on all tables in schema pgstream to {role}"
    ));
    let url = source.url().replace("postgres@", &format!("{role}@"));
    let sidecar = Sidecar::new(["run", "--source-url", &url]).start();
    sidecar.wait_for_line("streaming", SOON);

    let name = slot(&source);
    let end = format!("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{name}' and active");
    source.rows(&end);
    sidecar.wait_for_line("next attempt", SOON);
    source.execute("insert into t values (1)");
    sidecar.wait_for_line("\"table\":\"t\"", SOON);

    source.execute(&format!("alter role {role} noreplication"));
    source.rows(&end);
    let status = sidecar.wait(SOON);
    let said = sidecar.stderr();
    source.execute(&format!("drop owned by {role}; drop role {role}"));
    assert_eq!(status.code(), Some(1), "{said}");
}

#[test]
fn two_readers_of_one_stream_do_not_write_twice() {
    let stream = Stream::start("create table log (n int)");
    let second = Sidecar::replicate(&stream.source, &stream.target).start();
    stream.source.execute("insert into log select generate_series(1, 1000)");
    assert_eq!(second.wait(SOON).code(), Some(1), "{}", second.stderr());
    stream.assert_arrived();
}

#[test]
fn a_slow_target_is_waited_for_with_the_source_informed() {
    let server = Server::start(
        "impatient",
        &Options { conf: vec!["wal_sender_timeout = '2s'".into()], ..Options::default() },
    );
    let (source, target) = (server.database(), Database::on_target());
    for side in [&source, &target] {
        side.execute("create table t (id int primary key, v text)");
    }
    init(&source);
    let sidecar = Sidecar::replicate(&source, &target).start();
    sidecar.wait_for_line("streaming", SOON);
    let walsender = || source.value("select coalesce(max(active_pid), 0) from pg_replication_slots");
    let before = walsender();
    let mut blocker = target.session();
    blocker.execute("begin; lock table t");
    source.execute("insert into t select n, repeat('x', 1000) from generate_series(1, 50000) n");
    // Longer than the server's patience, seen by its own clock.
    let mut clock = source.session();
    let begun = clock.value("select clock_timestamp()");
    wait_until("more than the sender's timeout", SOON, || {
        clock
            .holds(&format!("clock_timestamp() > '{begun}'::timestamptz + interval '6 seconds'"))
            .then_some(())
    });
    assert_eq!(walsender(), before, "the same connection: {}", sidecar.stderr());
    blocker.execute("rollback");
    assert_same(&source, &target);
}
