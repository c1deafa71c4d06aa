//! Into Kafka: the events of `pgstream run`, in the order of their keys, none lost.

use pgstream_tests::{sample, wait_until, Broker, Database, Message, Sidecar, LONG};
use serde_json::Value as Json;

use super::init;

/// Kills of one kind.
pub(crate) fn rounds() -> usize {
    sample(10, 200)
}

/// A source whose stream goes to a topic.
struct ToTopic {
    source: Database,
    topic: String,
    sidecar: Sidecar,
}

/// The sidecar from that source into that topic.
pub(crate) fn writer(source: &Database, broker: &Broker, topic: &str) -> Sidecar {
    Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url(), "--target", "kafka"])
        .env("PGSTREAM_KAFKA_WRITER_SERVERS", &broker.servers())
        .env("PGSTREAM_KAFKA_TOPIC_NAME", topic)
}

/// Starts one with `prepare` run at the source before.
fn start(prepare: &str, name: &str, configure: impl FnOnce(Sidecar) -> Sidecar) -> ToTopic {
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute(prepare);
    init(&source);
    let topic = broker.topic(name);
    let sidecar = configure(writer(&source, broker, &topic)).start();
    sidecar.wait_for_line("streaming", LONG);
    ToTopic { source, topic, sidecar }
}

impl ToTopic {
    /// What the topic holds once all that is committed at the source is confirmed.
    fn messages(&self) -> Vec<Message> {
        self.source.wait_confirmed(&super::slot(&self.source));
        Broker::shared().all(&self.topic)
    }
}

/// Those of the table that the tests write.
pub(super) fn of_t(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| header(message, "table") == "public.t").collect()
}

/// The ids of these rows in the order of the topic.
pub(crate) fn ids(messages: &[Message]) -> Vec<i64> {
    let id = |message: &&Message| json(message)["columns"][0]["value"].as_i64().expect("an id");
    of_t(messages).iter().map(id).collect()
}

/// The value of a message.
pub(super) fn json(message: &Message) -> Json {
    serde_json::from_str(message.value.as_deref().expect("a value")).expect("JSON")
}

/// `action table`, and of a row the value of its first column.
pub(super) fn told(message: &Message) -> String {
    let event = json(message);
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let row = if event["columns"].is_null() { &event["identity"] } else { &event["columns"] };
    let mut told = format!("{} {}{}", text("action"), text("table"), text("prefix"));
    if text("schema") != "pgstream" && row.is_array() {
        told += &format!(" {}", row[0]["value"]);
    }
    told
}

/// A header of a message; empty where there is none.
pub(super) fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message.headers.get(name).map_or("", String::as_str)
}

/// The tutorial's first half, by its variables: the topic is made, and rows and schema changes arrive in order.
#[test]
fn the_tutorial_writes() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    init(&source);
    let topic = broker.topic("tutorial");
    let file = format!(
        "PGSTREAM_POSTGRES_LISTENER_URL=\"{}\"\nPGSTREAM_KAFKA_WRITER_SERVERS=\"{}\"\nPGSTREAM_KAFKA_TOPIC_NAME={topic}\n\
         PGSTREAM_INJECTOR_STORE_POSTGRES_URL=\"{}\"\nPGSTREAM_KAFKA_TOPIC_PARTITIONS=1\n\
         PGSTREAM_KAFKA_TOPIC_REPLICATION_FACTOR=1\nPGSTREAM_KAFKA_TOPIC_AUTO_CREATE=true\n",
        source.url(),
        broker.servers(),
        source.url()
    );
    let sidecar =
        Sidecar::new(["run", "-c", "pg2kafka_tutorial.env"]).file("pg2kafka_tutorial.env", &file).start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("create table test (id serial primary key, name text)");
    source.execute("insert into test (name) values ('alice'), ('bob'), ('charlie')");
    source.execute(
        "update test set name = 'alice updated' where id = 1; delete from test where id = 2; truncate test",
    );
    source.wait_confirmed(&super::slot(&source));
    let messages = broker.all(&topic);
    let told: Vec<String> = messages.iter().map(told).collect();
    let rows = ["I test 1", "I test 2", "I test 3", "U test 1", "D test 2", "T test"];
    assert_eq!(told[..2], ["M pgstream.ddl", "I schema_log"], "{told:?}");
    assert_eq!(told[2..], rows, "{told:?}");
    assert!(messages.iter().all(|message| message.key.as_deref() == Some("public")), "{messages:?}");
    assert_eq!(sidecar.stop().code(), Some(0));
}

/// One event, byte by byte, and its headers.
#[test]
fn a_message_is_the_event_and_says_where_it_stands() {
    let stream = start("create table t (id bigint primary key, n numeric, v text)", "message", |sidecar| {
        sidecar.env("PGSTREAM_TRANSLATOR_ENABLED", "false")
    });
    stream.source.execute(
        "insert into t values (9007199254740993, 0.1000000000000000000001, 'a\"<&>'), (2, 'NaN', null)",
    );
    let messages = stream.messages();
    let [first, second] = of_t(&messages)[..] else { panic!("{messages:?}") };
    let value = first.value.as_deref().expect("a value");
    let (lsn, time) = (json(first)["lsn"].clone(), json(first)["timestamp"].clone());
    let expected = format!(
        r#"{{"action":"I","timestamp":{time},"lsn":{lsn},"schema":"public","table":"t","columns":[{{"id":"","name":"id","type":"bigint","value":9007199254740993}},{{"id":"","name":"n","type":"numeric","value":0.1000000000000000000001}},{{"id":"","name":"v","type":"text","value":"a\"<&>"}}],"identity":null,"metadata":{{"schema_id":null,"table_pgstream_id":"","id_col_pgstream_id":null,"version_col_pgstream_id":""}}}}"#
    );
    assert_eq!(value, expected);
    assert_eq!(header(first, "lsn"), lsn.as_str().expect("a position"));
    assert_eq!(header(first, "commit_lsn"), header(second, "commit_lsn"));
    assert_eq!((header(first, "ordinal"), header(second, "ordinal")), ("0", "1"));
    assert_eq!(header(first, "table"), "public.t");
    let source =
        stream.source.value("select system_identifier || '/' || current_database() from pg_control_system()");
    assert_eq!(header(first, "source"), source);
    drop(stream.sidecar);
}

/// With a key a row, rows spread over the partitions, and what concerns all of them is in each.
#[test]
fn keys_by_row_and_what_everybody_must_know() {
    let stream = start("create table t (id int primary key, v text)", "by_row", |sidecar| {
        sidecar
            .env("PGSTREAM_KAFKA_TOPIC_PARTITION_KEY", "primary_key")
            .env("PGSTREAM_KAFKA_TOPIC_PARTITIONS", "3")
            .env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", "true")
    });
    stream.source.execute("insert into t select g, 'v' from generate_series(1, 60) g");
    stream.source.execute("update t set v = 'w' where id <= 20; update t set id = 1000 where id = 7");
    stream.source.execute("alter table t add column w int; truncate t");
    let messages = stream.messages();
    let of = |partition: i32| {
        messages.iter().filter(move |message| message.partition == partition).map(told).collect::<Vec<_>>()
    };
    for partition in 0..3 {
        let told = of(partition);
        assert!(told.len() > 10, "{told:?}");
        assert_eq!(told[told.len() - 3..], ["M pgstream.ddl", "I schema_log", "T t"], "{told:?}");
    }
    let by_key = |key: &str| {
        messages.iter().filter(|message| message.key.as_deref() == Some(key)).map(told).collect::<Vec<_>>()
    };
    assert_eq!(by_key("public.t:7"), ["I t 7", "U t 7", "D t 7"]);
    assert_eq!(by_key("public.t:1000"), ["I t 1000"]);
}

#[test]
fn a_topic_that_is_not_there() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    init(&source);
    let topic = broker.topic("missing");
    let finished = writer(&source, broker, &topic).env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", "false").finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("there is no topic {topic}")), "{}", finished.stderr);
    assert!(finished.stderr.contains("topic.auto_create"), "{}", finished.stderr);
    assert!(broker.all(&topic).is_empty());
}

/// Rows that exist already, in the form of streamed ones, then the stream.
#[test]
fn a_copy_and_the_stream_behind_it() {
    let stream = start(
        "create table t (id int primary key, v bytea, at timestamptz); \
         insert into t select g, '\\xdeadbeef', '2020-01-01 00:00:00.5+00' from generate_series(1, 500) g",
        "copy",
        |sidecar| sidecar.arg("--snapshot-tables").arg("*"),
    );
    stream.source.execute("insert into t values (501, '\\xdeadbeef', '2020-01-01 00:00:00.5+00')");
    let messages = stream.messages();
    let rows = of_t(&messages);
    assert_eq!(rows.len(), 501);
    let (copied, streamed) = (rows[499], rows[500]);
    assert_eq!((header(copied, "snapshot"), header(copied, "ordinal")), ("true", ""));
    assert_eq!((header(streamed, "snapshot"), header(streamed, "ordinal")), ("", "0"));
    assert_eq!(json(copied)["columns"][1], json(streamed)["columns"][1], "one encoding for both");
    assert_eq!(json(copied)["columns"][2], json(streamed)["columns"][2]);
}

/// What the topic does not take stops the stream by name; or only its key and position go on, where that is asked for. Others are not held up.
#[test]
fn a_message_that_is_too_large() {
    let large = "insert into t values (1, 'small'); insert into t select 2, string_agg(md5(g::text), '') from generate_series(1, 100000) g; insert into t values (3, 'small')";
    let stream = start("create table t (id int primary key, v text)", "too_large", |sidecar| sidecar);
    stream.source.execute(large);
    let status = wait_until("the stop", LONG, || stream.sidecar.process().exit_status());
    let said = stream.sidecar.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("too large") && said.contains(&stream.topic) && said.contains("max.message.bytes"),
        "{said}"
    );

    let dead = Broker::shared().topic("dead");
    let stream = start("create table t (id int primary key, v text)", "too_large", |sidecar| {
        sidecar
            .env("PGSTREAM_KAFKA_TOPIC_DEAD_LETTERS", &dead)
            .env("PGSTREAM_KAFKA_TOPIC_PARTITION_KEY", "primary_key")
    });
    stream.source.execute(large);
    assert_eq!(ids(&stream.messages()), [1, 3]);
    let letters = Broker::shared().all(&dead);
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.key.as_deref(), header(letter, "table")), (Some("public.t:2"), "public.t"));
    assert!(
        !header(letter, "commit_lsn").is_empty() && json(letter)["bytes"].as_u64() > Some(3_000_000),
        "{letter:?}"
    );
}

/// Whatever moment the sidecar is killed at, all rows are there, and what comes twice comes in order.
#[test]
fn a_sidecar_that_is_killed() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute("create table t (id bigint generated always as identity primary key, v text)");
    init(&source);
    let topic = broker.topic("kills");
    let mut sidecar = writer(&source, broker, &topic).start();
    let mut session = source.session();
    for round in 1..=rounds() {
        session.execute("insert into t (v) select repeat('x', 200) from generate_series(1, 2000)");
        // Now and then before, within and after what it does with these.
        let enough = (round - 1) * 2000 + round % 7 * 300;
        wait_until("rows in the topic", LONG, || (broker.held(&topic) >= enough).then_some(()));
        sidecar.kill();
        sidecar.start_again();
    }
    source.wait_confirmed(&super::slot(&source));
    assert_in_order(&ids(&broker.all(&topic)), rounds() as i64 * 2000);
}

/// Each of 1 to `last` is there, and behind each is its successor or an earlier one: a stretch that is sent again.
pub(crate) fn assert_in_order(ids: &[i64], last: i64) {
    let mut highest = 0;
    for pair in ids.windows(2) {
        assert!(pair[1] <= pair[0] + 1, "{} comes behind {}", pair[1], pair[0]);
    }
    for id in ids {
        assert!(*id <= highest + 1, "{id} comes when {highest} was the highest so far");
        highest = highest.max(*id);
    }
    assert_eq!(highest, last);
}

/// Everything that is wrong is said at once, and no password with it.
#[test]
fn settings_that_cannot_work() {
    let source = Database::on_source();
    let finished = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()])
        .env("PGSTREAM_KAFKA_WRITER_SERVERS", "localhost:1")
        .env("PGSTREAM_KAFKA_TLS_CLIENT_CERT_FILE", "nosuch.pem")
        .env("PGSTREAM_KAFKA_SASL_PASSWORD", "secret-word")
        .env("PGSTREAM_KAFKA_TOPIC_PARTITIONS", "70000")
        .finish();
    assert_eq!(finished.code, Some(1));
    for part in ["tls.client_key", "a user and a password belong together", "at most 65535"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("secret-word"), "{}", finished.stderr);
    init(&source);
    let finished = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()])
        .env("PGSTREAM_KAFKA_WRITER_SERVERS", "localhost:1")
        .env("PGSTREAM_POSTGRES_LISTENER_DISABLE_RETRIES", "true")
        .finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("localhost:1"), "{}", finished.stderr);
}
