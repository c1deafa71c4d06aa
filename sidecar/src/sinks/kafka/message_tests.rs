//! Tests of [`super`].

use super::*;
use crate::config::plan::{DebeziumForm, Decimals, KafkaCluster, KafkaFormat, Topic};
use crate::config::topic_template::TopicTemplate;
use crate::event::{Column, Commit, DdlObject, Timestamp};

fn target(key: PartitionKey) -> KafkaTarget {
    let topic = Topic {
        name: "all".into(),
        partitions: 1,
        replication_factor: 1,
        auto_create: false,
        compacted: false,
    };
    KafkaTarget {
        cluster: KafkaCluster::default(),
        topic,
        tables: None,
        key,
        format: KafkaFormat::Json,
        tombstones: false,
        transaction_metadata: false,
        compression: "none".into(),
        dead_letters: None,
        exactly_once: None,
    }
}

fn relation(identity: ReplicaIdentity) -> Arc<Relation> {
    let column = |name: &str, key| Column { name: name.into(), type_oid: 25, type_name: "text".into(), key };
    let columns = vec![column("a", true), column("b", true), column("v", false)];
    Arc::new(Relation { oid: 1, schema: "public".into(), name: "t".into(), identity, columns })
}

fn row(values: [&'static str; 3]) -> Tuple {
    Tuple::from_values(values.map(|value| match value {
        "unchanged" => Value::Unchanged,
        text => Value::Text(text.as_bytes()),
    }))
}

/// The messages of a transaction with those changes.
fn messages(by: PartitionKey, identity: ReplicaIdentity, rows: Vec<RowChange>) -> Vec<Message> {
    written(&target(by), identity, rows)
}

fn written(target: &KafkaTarget, identity: ReplicaIdentity, rows: Vec<RowChange>) -> Vec<Message> {
    let mut writer = Writer::new(target, "7/app");
    let mut out = Vec::new();
    let transaction = Transaction { xid: 5, commit_lsn: Lsn(0x500), time: Timestamp(0) };
    writer.write(&Event::Begin(transaction), &mut out);
    for row in rows {
        let change = Change { lsn: Lsn(0x100), relation: relation(identity), row, ids: None };
        writer.write(&Event::Change(change), &mut out);
    }
    writer.write(&commit(), &mut out);
    out
}

fn commit() -> Event {
    Event::Commit(Commit { end: Lsn(0x510), time: Timestamp(0) })
}

fn keys(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| String::from_utf8_lossy(message.key.as_deref().unwrap_or_default()).into_owned())
        .collect()
}

fn headers(message: &Message) -> &Headers {
    message.headers.as_ref().expect("headers")
}

fn actions(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.value[br#"{"action":""#.len()])).collect()
}

fn insert(values: [&'static str; 3]) -> RowChange {
    RowChange::Insert { new: row(values) }
}

#[test]
fn a_key_is_schema_table_or_row() {
    let of = |by| keys(&messages(by, ReplicaIdentity::Default, vec![insert(["1", r"x,\y", "v"])]));
    assert_eq!(of(PartitionKey::Schema), ["public"]);
    assert_eq!(of(PartitionKey::Table), ["public.t"]);
    assert_eq!(of(PartitionKey::PrimaryKey), [r"public.t:1,x\,\\y"]);
    let whole = messages(PartitionKey::PrimaryKey, ReplicaIdentity::Full, vec![insert(["1", "2", "v"])]);
    assert_eq!(keys(&whole), ["public.t"], "nothing says what the key is");
}

#[test]
fn every_event_of_a_transaction_has_a_name_of_its_own() {
    let rows = vec![insert(["1", "1", "v"]), insert(["1", "2", "v"])];
    let messages = messages(PartitionKey::Schema, ReplicaIdentity::Default, rows);
    let names: Vec<_> =
        messages.iter().map(|message| (headers(message).commit_lsn, headers(message).ordinal)).collect();
    assert_eq!(names, [(Lsn(0x500), Some(0)), (Lsn(0x500), Some(1))]);
    assert_eq!((headers(&messages[0]).last, headers(&messages[1]).last), (false, true));
    assert_eq!((&*headers(&messages[0]).source, headers(&messages[0]).table.as_str()), ("7/app", "public.t"));
}

#[test]
fn a_row_whose_key_changes_ends_and_begins() {
    let moved = |new| RowChange::Update { old: Some(OldRow::Key(row(["1", "1", ""]))), new: row(new) };
    let of = |by, new| {
        let messages = messages(by, ReplicaIdentity::Default, vec![moved(new)]);
        (actions(&messages), keys(&messages).join(" "))
    };
    let both = ("DI".to_owned(), "public.t:1,1 public.t:1,2".to_owned());
    assert_eq!(of(PartitionKey::PrimaryKey, ["1", "2", "v"]), both);
    assert_eq!(of(PartitionKey::PrimaryKey, ["1", "1", "v"]).0, "U", "the key is the same");
    assert_eq!(of(PartitionKey::Table, ["1", "2", "v"]).0, "U", "one key holds both");
    let stays = ("U".to_owned(), "public.t:1,1".to_owned());
    assert_eq!(of(PartitionKey::PrimaryKey, ["1", "2", "unchanged"]), stays, "the new row is not known");
}

#[test]
fn a_truncate_reaches_every_row_of_its_table() {
    let truncate = |by| {
        let relations = vec![relation(ReplicaIdentity::Default), relation(ReplicaIdentity::Default)];
        let truncate =
            Truncate { lsn: Lsn(1), relations, restart_identity: false, apart: false, ids: Vec::new() };
        let mut out = Vec::new();
        let mut writer = Writer::new(&target(by), "");
        writer.write(&Event::Truncate(truncate), &mut out);
        writer.write(&commit(), &mut out);
        (actions(&out), out[0].place)
    };
    assert_eq!(truncate(PartitionKey::Table), ("TT".to_owned(), Place::ByKey));
    assert_eq!(truncate(PartitionKey::PrimaryKey), ("TT".to_owned(), Place::Everywhere));
}

#[test]
fn a_command_goes_to_everybody_it_concerns() {
    let object = |kind: &str, schema: &str, identity: &str| DdlObject {
        kind: kind.into(),
        identity: identity.into(),
        schema: schema.into(),
        name: None,
        oid: 1,
        pgstream_id: None,
        dropped: false,
        original: true,
        definition: None,
        owner: None,
    };
    let ddl = |by, objects| {
        let mut out = Vec::new();
        let ddl = Ddl { objects, ..Ddl::default() };
        let mut writer = Writer::new(&target(by), "");
        writer.write(&Event::Ddl(Arc::new(ddl)), &mut out);
        writer.write(&commit(), &mut out);
        let places: Vec<Place> = out.iter().map(|message| message.place).collect();
        (keys(&out), places)
    };
    let two = || vec![object("table", "a", "a.t"), object("table", "b", "b.t"), object("index", "a", "a.i")];
    let (keys, places) = ddl(PartitionKey::Schema, two());
    assert_eq!((keys, places), (vec!["a".into()], vec![Place::Everywhere]));
    assert_eq!(ddl(PartitionKey::Table, two()).1, [Place::Everywhere]);
    assert_eq!(ddl(PartitionKey::Schema, vec![object("schema", "", "s")]).0, ["s"]);
    assert_eq!(ddl(PartitionKey::Schema, vec![object("extension", "", "e")]).1, [Place::Everywhere]);
}

/// Only behind a delete, and only where the key is that of one row.
#[test]
fn a_tombstone_ends_a_row() {
    let of = |identity| {
        let rows = vec![
            insert(["1", "1", "v"]),
            RowChange::Delete { old: OldRow::Full(row(["1", "1", "v"])) },
            RowChange::Update { old: Some(OldRow::Key(row(["2", "2", ""]))), new: row(["3", "2", "v"]) },
        ];
        let target = KafkaTarget { tombstones: true, ..target(PartitionKey::PrimaryKey) };
        let messages = written(&target, identity, rows);
        let tombstones: String =
            messages.iter().map(|message| if message.tombstone { '+' } else { '-' }).collect();
        (actions(&messages), tombstones)
    };
    assert_eq!(of(ReplicaIdentity::Default), ("IDDI".to_owned(), "-++-".to_owned()));
    assert_eq!(of(ReplicaIdentity::Full), ("IDU".to_owned(), "---".to_owned()));
}

#[test]
fn rows_go_to_their_table_s_topic() {
    let template = TopicTemplate::parse("cdc.{schema}.{table}").expect("a template");
    let target = KafkaTarget { tables: Some(template), ..target(PartitionKey::Table) };
    let mut out = Vec::new();
    let mut writer = Writer::new(&target, "7/app");
    let relation = relation(ReplicaIdentity::Default);
    let change =
        Change { lsn: Lsn(1), relation: Arc::clone(&relation), row: insert(["1", "1", "v"]), ids: None };
    writer.write(&Event::Change(change), &mut out);
    let truncate = Truncate {
        lsn: Lsn(1),
        relations: vec![relation],
        restart_identity: false,
        apart: false,
        ids: Vec::new(),
    };
    writer.write(&Event::Truncate(truncate), &mut out);
    writer.write(&Event::Ddl(Arc::new(Ddl::default())), &mut out);
    writer.write(&commit(), &mut out);
    let topics: Vec<_> = out.iter().map(|message| message.topic.as_deref()).collect();
    assert_eq!(topics, [Some("cdc.public.t"), Some("cdc.public.t"), None]);
}

#[test]
fn a_transaction_is_told_where_that_is_asked_for() {
    let told = |transaction_metadata| {
        let target = KafkaTarget { transaction_metadata, ..target(PartitionKey::Table) };
        let rows = vec![insert(["1", "1", "v"]), insert(["2", "1", "v"])];
        let messages = written(&target, ReplicaIdentity::Default, rows);
        messages.iter().map(|message| (headers(message).xid, headers(message).count)).collect::<Vec<_>>()
    };
    assert_eq!(told(true), [(Some(5), None), (Some(5), Some(2))]);
    assert_eq!(told(false), [(None, None), (None, None)]);
}

/// Debezium's keys: a row's, none where nothing identifies it, and then one partition for all of its table.
#[test]
fn debezium_has_keys_of_its_own() {
    let format = KafkaFormat::Debezium(DebeziumForm { name: "n".into(), decimals: Decimals::Precise });
    let target = KafkaTarget { format, tombstones: true, ..target(PartitionKey::PrimaryKey) };
    let rows = || {
        vec![
            insert(["1", "1", "v"]),
            RowChange::Update {
                old: Some(OldRow::Full(row(["1", "1", "v"]))),
                new: row(["1", "2", "unchanged"]),
            },
        ]
    };
    let messages = written(&target, ReplicaIdentity::Default, rows());
    assert_eq!(keys(&messages), [r#"{"a":"1","b":"1"}"#, r#"{"a":"1","b":"1"}"#, r#"{"a":"1","b":"2"}"#]);
    let extras: Vec<_> = messages.iter().map(|message| message.extra.clone()).collect();
    let key = |text: &str| text.as_bytes().to_vec();
    let (new, old) = (key(r#"{"a":"1","b":"2"}"#), key(r#"{"a":"1","b":"1"}"#));
    assert_eq!(extras, [None, Some((NEW_KEY, new)), Some((OLD_KEY, old))]);
    let made = String::from_utf8_lossy(&messages[2].value).into_owned();
    assert!(made.contains(r#""after":{"a":"1","b":"2","v":"v"}"#), "what did not change is known: {made}");
    let keyless = written(&target, ReplicaIdentity::Full, rows());
    let places: Vec<_> =
        keyless.iter().map(|message| (message.key.clone(), message.place, message.tombstone)).collect();
    assert_eq!(places, [(None, Place::With(1), false), (None, Place::With(1), false)]);
}
