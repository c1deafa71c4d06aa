//! The programs that write to Kafka: ours, by its defaults, and Debezium Server, tuned.

use pgstream_tests::{Broker, Database, Debezium, Process, Sidecar, Signal, LONG};

/// What makes Debezium Server faster than it is by default.
const TUNED: [&str; 10] = [
    "source.publication.name=native",
    "source.publication.autocreate.mode=disabled",
    "source.snapshot.mode=no_data",
    "source.max.batch.size=8192",
    "source.max.queue.size=32768",
    "sink.kafka.producer.acks=all",
    "sink.kafka.producer.enable.idempotence=true",
    "sink.kafka.producer.compression.type=lz4",
    "sink.kafka.producer.batch.size=262144",
    "sink.kafka.producer.buffer.memory=67108864",
];

/// What Debezium Server is to be good at.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    /// A backlog.
    Rate,
    /// Single rows.
    Latency,
}

/// A program at work; it is killed when the value goes.
pub(super) enum Running {
    Pgstream(Sidecar),
    Debezium(Debezium),
}

/// `pgstream run` into a topic.
pub(super) fn pgstream(source: &Database, slot: &str, broker: &Broker, topic: &str) -> Running {
    Running::Pgstream(sidecar(source, slot, broker, topic).start())
}

/// The same with transactions.
pub(super) fn exactly_once(source: &Database, slot: &str, broker: &Broker, topic: &str) -> Running {
    let sidecar = sidecar(source, slot, broker, topic);
    Running::Pgstream(sidecar.env("PGSTREAM_KAFKA_WRITER_EXACTLY_ONCE", "true").start())
}

fn sidecar(source: &Database, slot: &str, broker: &Broker, topic: &str) -> Sidecar {
    Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url(), "--target", "kafka"])
        .arg("--replication-slot")
        .arg(slot)
        .env("PGSTREAM_KAFKA_WRITER_SERVERS", &broker.servers())
        .env("PGSTREAM_KAFKA_TOPIC_NAME", topic)
}

/// Debezium Server on a slot made with publication `native`. It writes to `topic`, which must be
/// `<prefix>.public.<table>`.
pub(super) fn debezium(source: &Database, slot: &str, broker: &Broker, topic: &str, aim: Aim) -> Running {
    let (prefix, table) = topic.split_once('.').expect("a topic of Debezium's pattern");
    let (linger, poll) = match aim {
        Aim::Rate => (5, 5),
        Aim::Latency => (0, 1),
    };
    let own = [
        format!("source.slot.name={slot}"),
        format!("source.table.include.list={table}"),
        format!("source.poll.interval.ms={poll}"),
        format!("sink.kafka.producer.linger.ms={linger}"),
    ];
    let settings = own.iter().map(String::as_str).chain(TUNED);
    let machine = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"];
    Running::Debezium(Debezium::start(source, broker, prefix, &settings.collect::<Vec<_>>(), &machine))
}

impl Running {
    fn process(&self) -> &Process {
        match self {
            Running::Pgstream(sidecar) => sidecar.process(),
            Running::Debezium(debezium) => debezium.process(),
        }
    }

    /// Panics when it has ended.
    pub(super) fn check(&self) {
        let ended = self.process().exit_status();
        assert!(ended.is_none(), "{ended:?}: {}", self.said());
    }

    /// Its name, and the end of what it said.
    pub(super) fn said(&self) -> String {
        let (name, said) = match self {
            Running::Pgstream(sidecar) => ("pgstream", sidecar.stderr()),
            Running::Debezium(debezium) => ("Debezium Server", debezium.log()),
        };
        let lines: Vec<&str> = said.lines().collect();
        format!("{name}, which said:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }

    /// The most memory it held, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.process().memory("VmHWM")
    }

    /// Asks it to stop, and waits until it has; its slot is free then.
    pub(super) fn stop(self) {
        self.process().signal(Signal::TERM);
        let status = self.process().wait(&self.said(), LONG);
        assert!(status.success() || matches!(self, Running::Debezium(_)), "{status:?}: {}", self.said());
    }
}
