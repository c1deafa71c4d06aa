//! Messages in Debezium's form, compared field by field with what a real Debezium Server 3.6 writes of the same events.
//!
//! ```text
//! as_the_real_server (long)   source ──> Debezium ──> golden/debezium.ndjson     and at once: theirs against ours
//! as_recorded                 source ──> pgstream ──> against that file
//! ```
//!
//! `PGSTREAM_TEST_LONG=1 PGSTREAM_GOLDEN_WRITE=1 cargo test -p pgstream-tests debezium::as_the_real_server` records anew. What differs
//! for good is named in [`DIFFERENCES`] and [`steady`].

mod workload;

use pgstream_tests::{is_long, wait_for, Broker, Database, Debezium, Message, Sidecar, LONG};
use serde_json::{json, Value as Json};

use super::init;
use super::kafka::writer;
use crate::golden::compare;

const TABLES: [&str; 10] =
    ["kinds", "arrays", "edges", "rows", "no_key", "two_keys", "whole", "toasted", "Odd_Name", "unique_only"];

/// The source's name in messages, Debezium's `topic.prefix`.
const NAME: &str = "dbz";

/// Table, column, and why we say something else.
const DIFFERENCES: [(&str, &str, &str); 6] = [
    ("kinds", "na", "Debezium streams a value of type name as null, and copies it as it is"),
    ("kinds", "pr", "the stream does not tell the scale of a domain over numeric, which Debezium looks up: we write the value's own"),
    ("kinds", "hs", "the order of an hstore's keys is that of a Java hash map"),
    ("arrays", "tm", "Debezium cuts times in an array to milliseconds"),
    ("arrays", "tmz", "Debezium cuts zoned times in an array to seconds"),
    ("two_keys", "before.v", "what a key does not tell of a NOT NULL column is made up by Debezium ('' or 0): we write null"),
];

/// A source with both at work.
struct Both {
    source: Database,
    topic: String,
    sidecar: Sidecar,
    debezium: Option<Debezium>,
}

impl Both {
    fn start(with_debezium: bool) -> Both {
        let (source, broker) = (Database::on_source(), Broker::shared());
        workload::prepare(&source);
        init(&source);
        let topic = broker.topic("debezium");
        let debezium = with_debezium.then(|| {
            let topics = TABLES.map(|table| format!("{NAME}.public.{table}"));
            for topic in topics.iter().map(String::as_str).chain(["dbz.message", "dbz.transaction"]) {
                broker.create(topic, 1);
            }
            Debezium::fetch();
            let settings = [
                "source.slot.name=dbz",
                "source.publication.name=dbz",
                "source.publication.autocreate.mode=filtered",
                "source.schema.include.list=public",
                "source.poll.interval.ms=50",
                "source.offset.flush.interval.ms=0",
                "source.skipped.operations=none",
                "source.provide.transaction.metadata=true",
            ];
            let debezium = Debezium::start(&source, broker, NAME, &settings, &["-Xms256m", "-Xmx512m"]);
            debezium.wait_for_log("Processing messages");
            debezium
        });
        let sidecar = writer(&source, broker, &topic)
            .env("PGSTREAM_KAFKA_WRITER_FORMAT", "debezium")
            .env("PGSTREAM_KAFKA_DEBEZIUM_NAME", NAME)
            .env("PGSTREAM_KAFKA_TOPIC_TABLES", &format!("{topic}.{{schema}}.{{table}}"))
            .env("PGSTREAM_KAFKA_WRITER_TRANSACTION_METADATA", "true")
            .arg("--snapshot-tables")
            .arg("*")
            .start();
        sidecar.wait_for_line("streaming", LONG);
        for transaction in workload::transactions() {
            source.execute(&transaction);
        }
        source.wait_confirmed(&slot(&source));
        Both { source, topic, sidecar, debezium }
    }

    /// What we wrote, by table; then of messages and of transactions.
    fn ours(&self) -> Vec<(String, Message)> {
        let broker = Broker::shared();
        let mut all = rows(&self.topic);
        let others = broker.all(&self.topic).into_iter();
        all.extend(
            others.filter(|message| json(message)["op"] == "m").map(|message| ("message".into(), message)),
        );
        all.extend(named("transaction", broker.all(&format!("{}.transaction", self.topic))));
        all
    }
}

/// The slot that `init` made.
fn slot(source: &Database) -> String {
    source.value("select slot_name from pgstream.slots")
}

fn theirs() -> Vec<(String, Message)> {
    let mut all = rows(NAME);
    for name in ["message", "transaction"] {
        all.extend(named(name, Broker::shared().all(&format!("{NAME}.{name}"))));
    }
    // Debezium tells of transactions that hold nothing for it as well; we do not know of them.
    let empty: Vec<String> =
        all.iter().filter(|(_, message)| json(message)["event_count"] == 0).map(xid).collect();
    all.retain(|message| message.0 != "transaction" || !empty.contains(&xid(message)));
    all
}

/// The transaction that a message on transactions is about.
fn xid((_, message): &(String, Message)) -> String {
    let id = json(message)["id"].as_str().unwrap_or_default().to_owned();
    id.split(':').next().unwrap_or_default().to_owned()
}

fn rows(prefix: &str) -> Vec<(String, Message)> {
    let of = |table: &&str| named(table, Broker::shared().all(&format!("{prefix}.public.{table}")));
    TABLES.iter().flat_map(of).collect()
}

fn named(name: &str, messages: Vec<Message>) -> Vec<(String, Message)> {
    messages.into_iter().map(|message| (name.to_owned(), message)).collect()
}

fn json(message: &Message) -> Json {
    message.value.as_deref().map_or(Json::Null, |value| serde_json::from_str(value).expect("JSON"))
}

/// One line a message, without what differs from run to run or for good.
fn lines(messages: &[(String, Message)]) -> String {
    messages.iter().map(|(name, message)| steady(name, message).to_string() + "\n").collect()
}

/// The same number in the same digits: `1.0E20` is `1e+20`.
fn same_digits(value: &mut Json) {
    match value {
        Json::Number(number) if !number.is_i64() && !number.is_u64() => {
            *value = json!(number.as_f64().map(|number| format!("{number:e}")));
        }
        Json::Array(values) => values.iter_mut().for_each(same_digits),
        Json::Object(fields) => fields.values_mut().for_each(same_digits),
        _ => {}
    }
}

/// Key, headers and value with what differs replaced by what it is.
fn steady(name: &str, message: &Message) -> Json {
    let mut value = json(message);
    same_digits(&mut value);
    let mut key: Json =
        message.key.as_deref().map_or(Json::Null, |key| serde_json::from_str(key).expect("JSON"));
    let mark = |place: &mut Json, kind: &str| *place = json!(kind);
    if value.is_object() {
        for time in ["ts_ms", "ts_us", "ts_ns"] {
            value.get_mut(time).into_iter().for_each(|place| mark(place, "<time>"));
        }
        if let Some(source) = value.get_mut("source") {
            for time in ["ts_ms", "ts_us", "ts_ns"] {
                mark(&mut source[time], "<time>");
            }
            // Each says its own version; a copy of ours tells neither first and last row nor a transaction.
            if source["snapshot"] != "false" {
                mark(&mut source["snapshot"], "<snapshot>");
            }
            for (field, kind) in [
                ("version", "<version>"),
                ("db", "<db>"),
                ("sequence", "<sequence>"),
                ("txId", "<xid>"),
                ("lsn", "<lsn>"),
            ] {
                mark(&mut source[field], kind);
            }
        }
        if value["transaction"].is_object() {
            mark(&mut value["transaction"]["id"], "<id>");
        }
        for row in ["before", "after"] {
            for (_, column, _) in DIFFERENCES.iter().filter(|(table, ..)| *table == name) {
                let column = column.strip_prefix(&format!("{row}.")).unwrap_or(column);
                value[row].get_mut(column).into_iter().for_each(|place| mark(place, "<differs>"));
            }
        }
    }
    if name == "transaction" {
        mark(&mut key["id"], "<id>");
        mark(&mut value["id"], "<id>");
        // Of messages Debezium writes the name of an object in its memory.
        for collection in value["data_collections"].as_array_mut().into_iter().flatten() {
            let known =
                collection["data_collection"].as_str().is_some_and(|name| name.starts_with("public."));
            if !known {
                mark(&mut collection["data_collection"], "<message>");
            }
        }
        // Their order is that of a Java hash map.
        if let Some(collections) = value["data_collections"].as_array_mut() {
            collections.sort_by_key(ToString::to_string);
        }
    }
    let header =
        |name: &str| message.headers.get(name).map(|text| serde_json::from_str::<Json>(text).expect("JSON"));
    json!({
        "topic": name, "key": key, "value": value,
        "newkey": header("__debezium.newkey"), "oldkey": header("__debezium.oldkey"),
    })
}

/// Of each event of the stream what the two must have in common in one run: where and when it is, and in which transaction.
fn exact(messages: &[(String, Message)]) -> Vec<Json> {
    let of = |(name, message): &(String, Message)| {
        let value = json(message);
        let source = &value["source"];
        if name == "transaction" {
            return Some(json!([name, message.key, value["id"], value["ts_ms"]]));
        }
        let sequence: Json = serde_json::from_str(source["sequence"].as_str()?).ok()?;
        let at = json!([source["lsn"], source["txId"], source["ts_us"], source["ts_ns"], source["db"]]);
        (source["snapshot"] == "false")
            .then(|| json!([name, message.key, at, sequence[1], value["transaction"]["id"]]))
    };
    messages.iter().filter_map(of).collect()
}

#[test]
fn as_recorded() {
    let both = Both::start(false);
    compare("debezium.ndjson", &lines(&both.ours()), false);
    assert!(both.sidecar.stop().success(), "{}", both.sidecar.stderr());
}

/// Long, for Debezium Server is a download of 800 MB.
#[test]
fn as_the_real_server() {
    if !is_long() {
        eprintln!("not done: PGSTREAM_TEST_LONG=1 does it");
        return;
    }
    let both = Both::start(true);
    let ours = both.ours();
    // Debezium confirms what it has sent when it likes.
    let theirs = wait_for(LONG, || {
        let theirs = theirs();
        let few = format!("{} messages of {}", theirs.len(), ours.len());
        if theirs.len() < ours.len() {
            Err(few)
        } else {
            Ok(theirs)
        }
    });
    compare("debezium.ndjson", &lines(&theirs), true);
    compare("debezium.ndjson", &lines(&ours), false);
    let (ours, theirs) = (exact(&ours), exact(&theirs));
    assert!(theirs.len() > 60, "{}", theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    drop(both.debezium);
    drop(both.source);
}
