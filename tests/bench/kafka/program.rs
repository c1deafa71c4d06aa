//! The programs that write to Kafka: ours, by its defaults, and Debezium Server, tuned.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use pgstream_tests::{home, Broker, Database, Process, Sidecar, Signal, LONG};

/// Ours sends each row once, where it can.
const EXACTLY_ONCE: &str = "PGSTREAM_KAFKA_WRITER_EXACTLY_ONCE";

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
    Debezium { process: Process, log: PathBuf },
}

/// Why there is nothing to compare with.
pub(super) fn rival() -> Result<(), String> {
    if home().modern_java.as_os_str().is_empty() {
        return Err("there is no Java of 21 or later".to_owned());
    }
    match home().debezium.exists() {
        true => Ok(()),
        false => Err("tests/setup.sh packages bench could not fetch it".to_owned()),
    }
}

/// `pgstream run` into a topic.
pub(super) fn pgstream(source: &Database, slot: &str, broker: &Broker, topic: &str) -> Running {
    Running::Pgstream(sidecar(source, slot, broker, topic).start())
}

/// The same with transactions; none where this pgstream has no setting for that.
pub(super) fn exactly_once(source: &Database, slot: &str, broker: &Broker, topic: &str) -> Option<Running> {
    let sidecar = sidecar(source, slot, broker, topic).env(EXACTLY_ONCE, "true").start();
    sidecar.wait_for_line("streaming", LONG);
    let known = !sidecar.stderr().contains(&format!("unknown variable {EXACTLY_ONCE}"));
    known.then_some(Running::Pgstream(sidecar))
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
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let folder = home().folder.join(format!("debezium-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&folder).expect("make a folder for Debezium");
    let file = folder.join("application.properties");
    fs::write(&file, properties(source, slot, broker, topic, &folder, aim)).expect("write its settings");
    let log = folder.join("log");
    let out = File::create(&log).expect("open a log");
    let error = out.try_clone().expect("share a log");
    let of = |part: &str| home().debezium.join(part).display().to_string();
    let classes = [runner().display().to_string(), of("config/lib"), of("lib/*")].join(":");
    let mut command = Command::new(&home().modern_java);
    command.args(["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:-UsePerfData"]);
    command.arg(format!("-Djava.io.tmpdir={}", folder.display()));
    command.args(["-cp", &classes, "io.debezium.server.Main"]).current_dir(&folder);
    command.env("QUARKUS_CONFIG_LOCATIONS", &file).stdin(Stdio::null()).stdout(out).stderr(error);
    Running::Debezium { process: Process::spawn_java(&mut command), log }
}

/// The jar that starts it.
fn runner() -> PathBuf {
    let files = fs::read_dir(&home().debezium).expect("see Debezium's folder");
    let mut files = files.filter_map(|file| Some(file.ok()?.path()));
    files.find(|file| file.to_string_lossy().ends_with("runner.jar")).expect("a jar to run")
}

fn properties(
    source: &Database,
    slot: &str,
    broker: &Broker,
    topic: &str,
    folder: &Path,
    aim: Aim,
) -> String {
    let (prefix, table) = topic.split_once('.').expect("a topic of Debezium's pattern");
    let (servers, port, database) = (broker.servers(), source.server.port, &source.name);
    let offsets = folder.join("offsets").display().to_string();
    let (linger, poll) = match aim {
        Aim::Rate => (5, 5),
        Aim::Latency => (0, 1),
    };
    format!(
        "quarkus.http.host=127.0.0.1
quarkus.http.port=0
quarkus.log.console.json=false
debezium.format.key.schemas.enable=false
debezium.format.value.schemas.enable=false
debezium.sink.type=kafka
debezium.sink.kafka.producer.bootstrap.servers={servers}
debezium.sink.kafka.producer.key.serializer=org.apache.kafka.common.serialization.StringSerializer
debezium.sink.kafka.producer.value.serializer=org.apache.kafka.common.serialization.StringSerializer
debezium.sink.kafka.producer.acks=all
debezium.sink.kafka.producer.enable.idempotence=true
debezium.sink.kafka.producer.compression.type=lz4
debezium.sink.kafka.producer.batch.size=262144
debezium.sink.kafka.producer.buffer.memory=67108864
debezium.sink.kafka.producer.linger.ms={linger}
debezium.source.connector.class=io.debezium.connector.postgresql.PostgresConnector
debezium.source.database.hostname=127.0.0.1
debezium.source.database.port={port}
debezium.source.database.user=postgres
debezium.source.database.password=postgres
debezium.source.database.dbname={database}
debezium.source.plugin.name=pgoutput
debezium.source.slot.name={slot}
debezium.source.publication.name=native
debezium.source.publication.autocreate.mode=disabled
debezium.source.snapshot.mode=no_data
debezium.source.topic.prefix={prefix}
debezium.source.table.include.list={table}
debezium.source.offset.storage.file.filename={offsets}
debezium.source.max.batch.size=8192
debezium.source.max.queue.size=32768
debezium.source.poll.interval.ms={poll}
"
    )
}

impl Running {
    fn process(&self) -> &Process {
        match self {
            Running::Pgstream(sidecar) => sidecar.process(),
            Running::Debezium { process, .. } => process,
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
            Running::Debezium { log, .. } => ("Debezium Server", fs::read_to_string(log).unwrap_or_default()),
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
        assert!(status.success() || matches!(self, Running::Debezium { .. }), "{status:?}: {}", self.said());
    }
}
