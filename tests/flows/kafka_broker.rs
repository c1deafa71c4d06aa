//! Kafka: the broker itself, before anything of ours writes to it.

use pgstream_tests::{Broker, BrokerOptions, Message, SOON};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

fn producer(broker: &Broker) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", broker.servers()).create().expect("a producer")
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, value: &str) {
    let headers = OwnedHeaders::new().insert(Header { key: "kind", value: Some("test") });
    let record = BaseRecord::to(topic).partition(partition).key(key).payload(value).headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("queue a message");
}

fn message(partition: i32, key: &str, value: &str) -> Message {
    let headers = [("kind".to_owned(), "test".to_owned())].into();
    Message { partition, offset: 0, key: Some(key.into()), value: Some(value.into()), headers }
}

#[test]
fn the_broker_keeps_what_it_is_given() {
    let broker = Broker::shared();
    let topic = broker.topic("keeps");
    assert_eq!(broker.all(&topic), [], "no topic yet");
    broker.create(&topic, 2);
    assert_eq!(broker.all(&topic), []);
    let producer = producer(broker);
    send(&producer, &topic, 1, "b", "two");
    send(&producer, &topic, 0, "a", "one");
    producer.flush(SOON).expect("deliver");
    assert_eq!(broker.messages(&topic, 2), [message(0, "a", "one"), message(1, "b", "two")]);

    assert_eq!(broker.committed("readers", &topic), 0);
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", broker.servers())
        .set("group.id", "readers")
        .create::<BaseConsumer>();
    let mut read = TopicPartitionList::new();
    read.add_partition_offset(&topic, 1, Offset::Offset(1)).expect("an offset");
    consumer.expect("a consumer").commit(&read, CommitMode::Sync).expect("commit");
    assert_eq!(broker.committed("readers", &topic), 1);
}

#[test]
fn an_aborted_transaction_is_told_from_a_committed_one() {
    let broker = Broker::shared();
    let topic = broker.topic("transactions");
    broker.create(&topic, 1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.servers())
        .set("transactional.id", &topic)
        .create()
        .expect("a producer");
    producer.init_transactions(SOON).expect("be known");
    producer.begin_transaction().expect("begin");
    send(&producer, &topic, 0, "a", "kept");
    producer.commit_transaction(SOON).expect("commit");
    producer.begin_transaction().expect("begin");
    send(&producer, &topic, 0, "b", "dropped");
    producer.flush(SOON).expect("deliver");
    producer.abort_transaction(SOON).expect("abort");
    assert_eq!(broker.messages(&topic, 2).len(), 2);
    assert_eq!(broker.all_committed(&topic), [message(0, "a", "kept")]);
}

#[test]
fn a_broker_survives_being_killed() {
    let broker = Broker::start(&BrokerOptions::default());
    let topic = broker.topic("killed");
    broker.create(&topic, 1);
    let producer = producer(&broker);
    send(&producer, &topic, 0, "a", "one");
    producer.flush(SOON).expect("deliver");
    broker.kill();
    broker.start_again();
    assert_eq!(broker.messages(&topic, 1), [message(0, "a", "one")]);
    broker.stop();
    broker.start_again();
    assert_eq!(broker.all(&topic), [message(0, "a", "one")]);
}

#[test]
#[should_panic(expected = "the broker does not start")]
fn a_broker_that_cannot_start_shows_its_log() {
    Broker::start(&BrokerOptions {
        conf: vec!["authorizer.class.name=none.Such".into()],
        ..BrokerOptions::default()
    });
}
