//! Into Kafka in other forms than one topic of our own events: topics of tables, tombstones, transactions told, CloudEvents.

use pgstream_tests::{Broker, Database, Message, Sidecar, LONG};
use serde_json::Value as Json;

use super::init;
use super::kafka::{header, json, writer};

/// A source and the sidecar that writes it into a topic of that name.
struct ToTopics {
    source: Database,
    topic: String,
    sidecar: Sidecar,
}

impl ToTopics {
    fn start(prepare: &str, name: &str, configure: impl FnOnce(Sidecar, &str) -> Sidecar) -> ToTopics {
        let (source, broker) = (Database::on_source(), Broker::shared());
        source.execute(prepare);
        init(&source);
        let topic = broker.topic(name);
        let sidecar = configure(writer(&source, broker, &topic), &topic).start();
        sidecar.wait_for_line("streaming", LONG);
        ToTopics { source, topic, sidecar }
    }

    /// What the topic of that name holds once all that is committed at the source is confirmed, without rows of the schema log.
    fn messages(&self, topic: &str) -> Vec<Message> {
        self.source.wait_confirmed(&super::slot(&self.source));
        let mut messages = Broker::shared().all(topic);
        messages.retain(|message| header(message, "table") != "pgstream.schema_log");
        messages
    }
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

/// `action table` of our own events.
fn told(messages: &[Message]) -> Vec<String> {
    let told = |message: &Message| {
        let event = json(message);
        format!("{} {}{}", text(&event, "action"), text(&event, "table"), text(&event, "prefix"))
    };
    messages.iter().map(told).collect()
}

/// Each table has its topic, also one that comes later; what is of no table stays where it was.
#[test]
fn a_topic_for_each_table() {
    let stream = ToTopics::start("create table t (id int primary key)", "tables", |sidecar, topic| {
        sidecar
            .env("PGSTREAM_KAFKA_TOPIC_TABLES", &format!("{topic}.{{schema}}.{{table}}"))
            .env("PGSTREAM_KAFKA_TOPIC_PARTITIONS", "2")
            .env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", "true")
    });
    stream.source.execute("insert into t values (1); insert into t values (2)");
    stream.source.execute("create table \"T 2\" (id int primary key)");
    stream.source.execute("insert into \"T 2\" values (1); truncate t, \"T 2\"");
    stream.source.execute("select pg_logical_emit_message(true, 'outbox', 'x')");
    let (t, all) = (format!("{}.public.t", stream.topic), stream.messages(&stream.topic));
    assert_eq!(told(&stream.messages(&t)), ["I t", "I t", "T t"]);
    let second = format!("{}.public.T_2", stream.topic);
    assert_eq!(told(&stream.messages(&second)), ["I T 2", "T T 2"]);
    stream.sidecar.wait_for_line("another table may share its topic", LONG);
    let mut all = told(&all);
    all.sort(); // two partitions
    assert_eq!(all, ["M outbox", "M pgstream.ddl"]);
    assert_eq!(Broker::shared().partitions(&t), 2);
    assert!(stream.sidecar.stop().success());
}

#[test]
fn a_table_s_topic_that_is_not_there_and_not_to_be_made() {
    let (source, broker) = (Database::on_source(), Broker::shared());
    source.execute("create table t (id int primary key)");
    init(&source);
    let topic = broker.topic("tables_missing");
    broker.create(&topic, 1);
    let sidecar = writer(&source, broker, &topic)
        .env("PGSTREAM_KAFKA_TOPIC_TABLES", &format!("{topic}.{{table}}"))
        .env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", "false")
        .start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t values (1)");
    assert_eq!(sidecar.wait(LONG).code(), Some(1));
    let said = sidecar.stderr();
    assert!(said.contains(&format!("there is no topic {topic}.t")), "{said}");
    assert!(said.contains("topic.auto_create"), "{said}");
}

/// A delete is followed by its key alone, which our own reader passes over.
#[test]
fn tombstones() {
    let stream =
        ToTopics::start("create table t (id int primary key, v text)", "tombstones", |sidecar, _| {
            sidecar
                .env("PGSTREAM_KAFKA_TOPIC_PARTITION_KEY", "primary_key")
                .env("PGSTREAM_KAFKA_WRITER_TOMBSTONES", "true")
        });
    stream.source.execute("insert into t values (1, 'a'), (2, 'b'); delete from t where id = 1");
    stream.source.execute("update t set id = 3 where id = 2; insert into t values (4, 'd')");
    let messages = stream.messages(&stream.topic);
    let keys: Vec<String> = messages
        .iter()
        .map(|message| {
            let sign = if message.value.is_some() { "" } else { "-" };
            format!("{sign}{}", message.key.as_deref().unwrap_or_default().trim_start_matches("public.t:"))
        })
        .collect();
    assert_eq!(keys, ["1", "2", "1", "-1", "2", "-2", "3", "4"]);
    let target = Database::on_target();
    target.execute("create table t (id int primary key, v text)");
    let reader = Sidecar::new(["run", "--source", "kafka", "--target", "postgres"])
        .env("PGSTREAM_KAFKA_READER_SERVERS", &Broker::shared().servers())
        .env("PGSTREAM_KAFKA_TOPIC_NAME", &stream.topic)
        .env("PGSTREAM_POSTGRES_WRITER_TARGET_URL", &target.url())
        .start();
    reader.time_until(&mut target.session(), "exists (select from t where id = 4)");
    pgstream_tests::assert_same(&stream.source, &target);
    assert!(reader.stop().success());
}

/// Every message tells its transaction, the last one how many there were.
#[test]
fn transactions_are_told() {
    let stream = ToTopics::start("create table t (id int primary key)", "transactions", |sidecar, _| {
        sidecar.env("PGSTREAM_KAFKA_WRITER_TRANSACTION_METADATA", "true")
    });
    let xid = stream.source.value("with i as (insert into t values (1), (2), (3)) select txid_current()");
    let messages = stream.messages(&stream.topic);
    let said: Vec<_> =
        messages.iter().map(|message| (header(message, "xid"), header(message, "count"))).collect();
    assert_eq!(said, [(xid.as_str(), ""), (&xid, ""), (&xid, "3")]);
    assert_eq!(header(&messages[2], "last"), "true");
}

/// The envelope that CloudEvents 1.0 asks for, around what stands in a message otherwise.
#[test]
fn cloud_events() {
    let stream = ToTopics::start(
        "create table t (id int primary key, v text); insert into t values (1, 'before')",
        "cloudevents",
        |sidecar, _| {
            sidecar.env("PGSTREAM_KAFKA_WRITER_FORMAT", "cloudevents").arg("--snapshot-tables").arg("*")
        },
    );
    stream.source.execute("insert into t values (2, 'a'); update t set v = 'b' where id = 2; delete from t");
    stream.source.execute("truncate t; select pg_logical_emit_message(true, 'outbox', 'x')");
    stream.source.execute("alter table t add column w int");
    let messages = stream.messages(&stream.topic);
    let system = stream.source.value(
        "select '/postgresql/' || system_identifier || '/' || current_database() from pg_control_system()",
    );
    let mut kinds = Vec::new();
    for message in &messages {
        assert_eq!(header(message, "content-type"), "application/cloudevents+json; charset=UTF-8");
        let event = json(message);
        assert_eq!(text(&event, "specversion"), "1.0");
        assert_eq!(text(&event, "source"), system);
        assert_eq!(text(&event, "datacontenttype"), "application/json");
        let time = text(&event, "time");
        assert!(time.len() > 19 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{time}");
        let data = &event["data"];
        let subject = format!("{}.{}", text(data, "schema"), text(data, "table"));
        assert_eq!(text(&event, "subject"), if subject == "." { "" } else { &subject });
        if header(message, "ordinal").is_empty() {
            assert!(text(&event, "id").starts_with("snapshot-"), "{event}");
        } else {
            let id = format!("{}-{}", header(message, "commit_lsn"), header(message, "ordinal"));
            assert_eq!(text(&event, "id"), id);
        }
        kinds.push(text(&event, "type").trim_start_matches("org.pgstream.").to_owned());
    }
    let expected = [
        "row.insert",
        "row.insert",
        "row.update",
        "row.delete",
        "row.delete",
        "table.truncate",
        "message",
        "schema.change",
    ];
    assert_eq!(kinds, expected);
    let mut ids: Vec<_> = messages.iter().map(|message| text(&json(message), "id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), messages.len(), "ids are unique");
}

/// Our reader says what it was given instead of our events.
#[test]
fn another_form_is_no_source() {
    for (format, named) in
        [("cloudevents", "application/cloudevents+json"), ("debezium", "in Debezium's form")]
    {
        let stream = ToTopics::start("create table t (id int primary key)", "other_form", |sidecar, _| {
            sidecar.env("PGSTREAM_KAFKA_WRITER_FORMAT", format)
        });
        stream.source.execute("insert into t values (1)");
        stream.messages(&stream.topic);
        let finished = Sidecar::new(["run", "--source", "kafka", "--target", "stdout"])
            .env("PGSTREAM_KAFKA_READER_SERVERS", &Broker::shared().servers())
            .env("PGSTREAM_KAFKA_TOPIC_NAME", &stream.topic)
            .finish();
        assert_eq!(finished.code, Some(1));
        let said = &finished.stderr;
        assert!(said.contains(named) && said.contains("format json"), "{said}");
        assert!(said.contains(&stream.topic), "{said}");
    }
}

#[test]
fn settings_that_cannot_work() {
    let source = Database::on_source();
    let run = |settings: &[(&str, &str)]| {
        let sidecar = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()])
            .env("PGSTREAM_KAFKA_WRITER_SERVERS", "localhost:1");
        let finished =
            settings.iter().fold(sidecar, |sidecar, (name, value)| sidecar.env(name, value)).finish();
        assert_eq!(finished.code, Some(1));
        finished.stderr
    };
    let said = run(&[
        ("PGSTREAM_KAFKA_TOPIC_TABLES", "cdc.{schema}.{tabel}"),
        ("PGSTREAM_KAFKA_WRITER_TOMBSTONES", "true"),
    ]);
    let debezium =
        run(&[("PGSTREAM_KAFKA_WRITER_FORMAT", "debezium"), ("PGSTREAM_KAFKA_TOPIC_PARTITION_KEY", "table")]);
    assert!(debezium.contains("the primary key of its row"), "{debezium}");
    let alone = run(&[("PGSTREAM_KAFKA_DEBEZIUM_NAME", "x")]);
    assert!(alone.contains("only with target.kafka.format debezium"), "{alone}");
    for part in ["unknown placeholder {tabel}", "PGSTREAM_KAFKA_TOPIC_TABLES", "partition_key primary_key"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
