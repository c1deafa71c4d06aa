//! Into Kafka in transactions: who reads committed messages sees each change once, whatever is killed.

use pgstream_tests::{wait_until, Broker, BrokerOptions, Database, Message, Sidecar, LONG, SOON};

use super::kafka::{assert_in_order, header, ids, json, of_t, rounds, writer};
use super::{init, slot};

/// A source with an empty table and a slot.
fn source() -> Database {
    let source = Database::on_source();
    source.execute("create table t (id bigint generated always as identity primary key, v text)");
    init(&source);
    source
}

fn exact(source: &Database, broker: &Broker, topic: &str) -> Sidecar {
    writer(source, broker, topic).env("PGSTREAM_KAFKA_WRITER_EXACTLY_ONCE", "true")
}

/// Rows of 1 to `last` came once and in order, and whole transactions of them.
#[track_caller]
fn assert_once(messages: &[Message], last: i64) {
    assert_eq!(ids(messages), (1..=last).collect::<Vec<_>>());
    let mut next = 0;
    for message in of_t(messages) {
        assert_eq!(header(message, "ordinal"), next.to_string(), "{message:?}");
        next = if header(message, "last") == "true" { 0 } else { next + 1 };
    }
    assert_eq!(next, 0, "the last transaction is not whole");
}

/// What is committed in a topic, once all that is committed at the source is confirmed.
fn committed(source: &Database, broker: &Broker, topic: &str) -> Vec<Message> {
    source.wait_confirmed(&slot(source));
    broker.all_committed(topic)
}

#[test]
fn a_sidecar_that_is_killed_repeats_nothing() {
    let (source, broker) = (source(), Broker::shared());
    let topic = broker.topic("exact_kills");
    let mut sidecar = exact(&source, broker, &topic).start();
    let mut session = source.session();
    for round in 1..=rounds() {
        session.execute("insert into t (v) select repeat('x', 200) from generate_series(1, 2000)");
        session.execute("insert into t (v) values ('a transaction of one row')");
        // Now and then before, within and after what it does with these.
        let enough = (round - 1) * 2001 + round % 7 * 300;
        wait_until("rows in the topic", LONG, || (broker.held(&topic) >= enough).then_some(()));
        sidecar.kill();
        sidecar.start_again();
    }
    assert_once(&committed(&source, broker, &topic), rounds() as i64 * 2001);
}

/// A broker that is away is waited for: nothing is lost or out of order by it, and in transactions nothing comes twice.
#[test]
fn a_broker_that_is_killed_and_comes_back() {
    let broker = Broker::start(&BrokerOptions::default());
    let sources = [source(), source()];
    let topics = ["once", "at_least_once"].map(|name| broker.topic(name));
    topics.iter().for_each(|topic| broker.create(topic, 1));
    let sidecars =
        [exact(&sources[0], &broker, &topics[0]).start(), writer(&sources[1], &broker, &topics[1]).start()];
    for sidecar in &sidecars {
        sidecar.wait_for_line("streaming", LONG);
    }
    let insert = |rows: &str| {
        for source in &sources {
            source.execute(&format!("insert into t (v) select '{rows}' from generate_series(1, 500)"));
        }
    };
    for round in 0..rounds() {
        insert("before");
        broker.kill();
        insert("while");
        broker.start_again();
        for sidecar in &sidecars {
            assert!(sidecar.process().exit_status().is_none(), "round {round}: {}", sidecar.stderr());
        }
    }
    let last = rounds() as i64 * 1000;
    assert_once(&committed(&sources[0], &broker, &topics[0]), last);
    assert_in_order(&ids(&committed(&sources[1], &broker, &topics[1])), last);
}

/// A transaction of the source that is larger than a batch becomes visible as a whole.
#[test]
fn a_large_transaction_is_one() {
    let (source, broker) = (source(), Broker::shared());
    let topic = broker.topic("exact_large");
    let mut sidecar = exact(&source, broker, &topic).start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t (v) select repeat('x', 200) from generate_series(1, 60000)");
    wait_until("a part of it in the topic", LONG, || (broker.held(&topic) > 0).then_some(()));
    sidecar.kill();
    let seen = ids(&broker.all_committed(&topic)).len();
    assert!(seen == 0 || seen == 60_000, "{seen} rows of a transaction can be seen");
    sidecar.start_again();
    assert_once(&committed(&source, broker, &topic), 60_000);
}

/// The position is that of the topic, also where there was nothing to write, and a slot made anew is noticed.
#[test]
fn a_slot_made_anew_is_refused() {
    let (source, broker) = (source(), Broker::shared());
    let topic = broker.topic("exact_slot");
    let positions = broker.topic("exact_positions");
    let run =
        |source: &Database| exact(source, broker, &topic).env("PGSTREAM_KAFKA_TOPIC_POSITIONS", &positions);
    let sidecar = run(&source).start();
    source.execute("insert into t (v) values ('one'); create table other (id int)");
    source.wait_confirmed(&slot(&source));
    assert_eq!(sidecar.stop().code(), Some(0));
    let key = format!("{topic}/{}", source.value("select system_identifier from pg_control_system()"));
    let last = broker
        .all_committed(&positions)
        .into_iter()
        .rev()
        .find_map(|message| message.key.filter(|found| found.starts_with(&key)).and(message.value));
    let confirmed =
        format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{}'", slot(&source));
    assert_eq!(last, Some(source.value(&confirmed)));

    let name = slot(&source);
    source.execute("insert into t (v) values ('lost')");
    source.execute(&format!(
        "select pg_drop_replication_slot('{name}'); select pg_create_logical_replication_slot('{name}', 'pgoutput')"
    ));
    let finished = run(&source).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("the slot was re-made"), "{}", finished.stderr);
}

/// Its key and position go into the same transaction as what is around it.
#[test]
fn a_message_that_is_too_large_is_buried_once() {
    let (source, broker) = (source(), Broker::shared());
    let (topic, dead) = (broker.topic("exact_too_large"), broker.topic("exact_dead"));
    let sidecar = exact(&source, broker, &topic).env("PGSTREAM_KAFKA_TOPIC_DEAD_LETTERS", &dead).start();
    source.execute(
        "insert into t (v) select case when g = 2 then repeat('large ', 1000000) else 'small' end from generate_series(1, 3) g",
    );
    assert_eq!(ids(&committed(&source, broker, &topic)), [1, 3], "{}", sidecar.stderr());
    let letters = broker.all_committed(&dead);
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((header(letter, "ordinal"), header(letter, "table")), ("1", "public.t"));
    assert!(json(letter)["bytes"].as_u64() > Some(6_000_000), "{letter:?}");
}

/// Also when one is asked for in the middle of a transaction.
#[test]
fn rows_of_a_copy_come_beside_the_transactions() {
    let (source, broker) = (source(), Broker::shared());
    source.execute("insert into t (v) select 'copied' from generate_series(1, 100)");
    let topic = broker.topic("exact_copy");
    let sidecar = exact(&source, broker, &topic).arg("--snapshot-tables").arg("*").start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t (v) values ('streamed')");
    let rows = committed(&source, broker, &topic);
    let copied =
        rows.iter().filter(|row| header(row, "table") == "public.t" && header(row, "snapshot") == "true");
    assert_eq!(copied.count(), 100);
    source.execute("begin; insert into t (v) values ('before'); select pgstream.request_snapshot('{public.t}'); insert into t (v) values ('behind'); commit");
    wait_until("the copy", SOON, || {
        let open = "select count(*) from pgstream.snapshot_requests where status <> 'completed'";
        (source.value(open) == "0").then_some(())
    });
    source.execute("insert into t (v) values ('last')");
    let rows = committed(&source, broker, &topic);
    let streamed = rows.iter().filter(|row| header(row, "snapshot").is_empty()).cloned().collect::<Vec<_>>();
    assert_eq!(ids(&streamed), [101, 102, 103, 104]);
}
