//! A Kafka that is away, stands still or does not take what it is given.

use pgstream_tests::{wait_until, Broker, BrokerOptions, Database, Options, Server, LONG};

use crate::flows::kafka::{assert_in_order, ids, writer};
use crate::flows::{init, slot};

const TABLE: &str = "create table t (id bigint generated always as identity primary key, v text)";

/// A broker that is not there yet is waited for. One that stands still holds the stream up, and nothing else: memory stays bounded, the source gets its
/// answers, and when it goes on everything arrives once and in order, without a new connection.
#[test]
fn a_broker_that_comes_later_and_stands_still() {
    let broker = Broker::start(&BrokerOptions::default());
    let topic = broker.topic("frozen");
    broker.create(&topic, 1);
    broker.stop();
    // Whoever does not answer for five seconds is disconnected.
    let conf = vec!["wal_sender_timeout = '5s'".to_owned()];
    let source = Server::start("frozen", &Options { conf, ..Options::default() }).database();
    source.execute(TABLE);
    init(&source);
    let sidecar = writer(&source, &broker, &topic).start();
    sidecar.wait_for_line("waiting for a broker", LONG);
    broker.start_again();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t (v) values ('before')");
    source.wait_confirmed(&slot(&source));

    let (before, said) = (sidecar.process().memory("VmRSS"), sidecar.stderr().len());
    broker.freeze();
    source.execute("insert into t (v) select repeat('x', 1000) from generate_series(1, 80000)");
    let mut session = source.session();
    let frozen = session.value("select clock_timestamp()");
    let answers =
        format!("(select reply_time > timestamptz '{frozen}' + interval '6s' from pg_stat_replication)");
    wait_until("answers while the broker stands still", LONG, || session.holds(&answers).then_some(()));
    assert!(session.holds("(select pg_current_wal_lsn() - flush_lsn > 50e6 from pg_stat_replication)"));
    let grown = sidecar.process().memory("VmHWM").saturating_sub(before);
    assert!(grown < 120 << 20, "it holds {grown} bytes more than before");

    broker.thaw();
    source.wait_confirmed(&slot(&source));
    assert!(ids(&broker.all(&topic)).into_iter().eq(1..=80001));
    assert!(!sidecar.stderr()[said..].contains("next attempt"), "{}", sidecar.stderr());
}

/// A broker whose disk is full gives up. When it has room again, all that came meanwhile is there.
#[test]
fn a_broker_whose_disk_is_full() {
    let (source, broker) = (Database::on_source(), Broker::start(&BrokerOptions::default()));
    source.execute(TABLE);
    init(&source);
    let topic = broker.topic("full");
    broker.create(&topic, 1);
    let sidecar = writer(&source, &broker, &topic).start();
    sidecar.wait_for_line("streaming", LONG);
    broker.fill_disk(12 << 20);
    // More than its files can hold, and nothing that packs well.
    source.execute("insert into t (v) select (select string_agg(md5(g || '.' || n), '') from generate_series(1, 30) n) from generate_series(1, 30000) g");
    broker.wait_given_up();
    assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
    broker.start_again();
    source.wait_confirmed(&slot(&source));
    assert_in_order(&ids(&broker.all(&topic)), 30_000);
}

/// A partition whose only node is gone has no leader: it takes nothing until that is back.
#[test]
fn a_partition_without_a_leader() {
    let first = Broker::start(&BrokerOptions::default());
    let second = Broker::start(&BrokerOptions { beside: Some(first.clone()), ..BrokerOptions::default() });
    let source = Database::on_source();
    source.execute(TABLE);
    init(&source);
    let topic = first.topic("leaderless");
    first.create_at(&topic, 2);
    let sidecar = writer(&source, &first, &topic).start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t (v) values ('before')");
    source.wait_confirmed(&slot(&source));
    second.kill();
    source.execute("insert into t (v) select 'x' from generate_series(1, 100)");
    first.wait_leaderless(&topic);
    second.start_again();
    source.wait_confirmed(&slot(&source));
    assert!(ids(&first.all(&topic)).into_iter().eq(1..=101));
    assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
}

/// A topic that is deleted takes with it what nobody has read: that is for a human to know, who did not ask to have it made.
#[test]
fn a_topic_that_is_deleted() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute(TABLE);
    init(&source);
    let topic = broker.topic("deleted");
    broker.create(&topic, 1);
    let sidecar = writer(&source, broker, &topic).env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", "false").start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t (v) values ('x')");
    source.wait_confirmed(&slot(&source));
    broker.delete(&topic);
    source.execute("insert into t (v) values ('y')");
    let status = wait_until("the stop", LONG, || sidecar.process().exit_status());
    let said = sidecar.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains(&format!("there is no topic {topic}")) && last.contains("topic.auto_create"),
        "{said}"
    );
}
