//! A real Debezium Server between a database and a broker, to compare with. It is large: `tests/setup.sh debezium` fetches it, which only
//! the long tests and the bench ask for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

use crate::run::{home, Process};
use crate::server::free_port;
use crate::{wait_for, Broker, Database, LONG};

/// Where and how it writes, whatever it is compared in.
const FORMAT: &str = "
debezium.sink.type=kafka
debezium.sink.kafka.producer.key.serializer=org.apache.kafka.common.serialization.StringSerializer
debezium.sink.kafka.producer.value.serializer=org.apache.kafka.common.serialization.StringSerializer
debezium.format.key.schemas.enable=false
debezium.format.value.schemas.enable=false
debezium.format.header.schemas.enable=false
debezium.source.connector.class=io.debezium.connector.postgresql.PostgresConnector
debezium.source.plugin.name=pgoutput
debezium.source.database.hostname=127.0.0.1
debezium.source.database.user=postgres
debezium.source.database.password=postgres
quarkus.http.host=127.0.0.1
quarkus.log.console.json=false
";

/// A server that captures tables of one database; it ends when the value does.
pub struct Debezium {
    folder: PathBuf,
    process: Process,
}

impl Debezium {
    /// Whether one can be started here, or why not.
    pub fn available() -> Result<(), String> {
        if home().modern_java.as_os_str().is_empty() {
            return Err("Debezium Server needs Java 21 or newer, and /usr/lib/jvm has none".to_owned());
        }
        match home().debezium.exists() {
            true => Ok(()),
            false => Err("tests/setup.sh debezium has not fetched Debezium Server".to_owned()),
        }
    }

    /// Fetches it where that was not done yet.
    #[track_caller]
    pub fn fetch() {
        static FETCHED: Once = Once::new();
        FETCHED.call_once(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup.sh");
            let status = Command::new(&script).arg("debezium").stdout(Stdio::null()).status();
            assert!(status.expect("run setup.sh").success(), "{} debezium failed", script.display());
        });
        Debezium::available().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts one with that `topic.prefix`. `settings` are more lines for application.properties, without their prefix
    /// `debezium.`; `machine` are options of its Java.
    #[track_caller]
    pub fn start(
        source: &Database,
        broker: &Broker,
        prefix: &str,
        settings: &[&str],
        machine: &[&str],
    ) -> Debezium {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let folder = home().folder.join(format!("debezium-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).expect("make a folder for Debezium");
        let more = [
            format!("sink.kafka.producer.bootstrap.servers={}", broker.servers()),
            format!("source.database.port={}", source.server.port),
            format!("source.database.dbname={}", source.name),
            format!("source.topic.prefix={prefix}"),
            format!("source.offset.storage.file.filename={}/offsets", folder.display()),
        ];
        let lines = more.iter().map(String::as_str).chain(settings.iter().copied());
        let lines = lines.map(|line| format!("debezium.{line}\n")).collect::<String>();
        let properties = folder.join("application.properties");
        let port = free_port();
        fs::write(&properties, format!("{FORMAT}quarkus.http.port={port}\n{lines}"))
            .expect("write application.properties");
        let of = |part: &str| home().debezium.join(part).display().to_string();
        let classes = [runner().display().to_string(), of("config/lib"), of("lib/*")].join(":");
        let mut command = Command::new(&home().modern_java);
        command.args(machine).arg("-XX:-UsePerfData");
        command.arg(format!("-Djava.io.tmpdir={}", folder.display()));
        command.args(["-cp", &classes, "io.debezium.server.Main"]).current_dir(&folder);
        command.env("QUARKUS_CONFIG_LOCATIONS", &properties).stdin(Stdio::null());
        let log = File::create(folder.join("log")).expect("make a log for Debezium");
        command.stdout(log.try_clone().expect("share a log")).stderr(log);
        Debezium { process: Process::spawn_java(&mut command), folder }
    }

    /// Waits until its log says that.
    #[track_caller]
    pub fn wait_for_log(&self, line: &str) {
        wait_for(LONG, || {
            let log = self.log();
            if log.contains(line) {
                return Ok(());
            }
            let from = log.lines().count().saturating_sub(20);
            let end = log.lines().skip(from).collect::<Vec<_>>().join("\n");
            let ended = self.process.exit_status();
            assert!(ended.is_none(), "Debezium has ended, {ended:?}; its log ends so:\n{end}");
            Err(format!("Debezium has not said {line:?}; its log ends so:\n{end}"))
        });
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The jar that starts it.
fn runner() -> PathBuf {
    let files = fs::read_dir(&home().debezium).expect("see Debezium's folder");
    let mut files = files.filter_map(|file| Some(file.ok()?.path()));
    files.find(|file| file.to_string_lossy().ends_with("runner.jar")).expect("a jar to run")
}
