//! A real Debezium Server between a database and a broker, to compare with. It is large: `tests/setup.sh debezium` fetches it, which only
//! the long tests ask for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::run::{home, Process};
use crate::server::free_port;
use crate::{wait_for, Broker, Database, LONG};

/// Its classes need at least this Java.
const JAVA: u32 = 21;

/// A server that captures tables of one database; it ends when the value does.
pub struct Debezium {
    folder: PathBuf,
    _process: Process,
}

impl Debezium {
    /// Starts one on the tables of `public`, with that `topic.prefix`, and waits until it streams. `settings` are more
    /// lines for application.properties, with the prefix `debezium.source.`.
    #[track_caller]
    pub fn start(source: &Database, broker: &Broker, prefix: &str, settings: &[&str]) -> Debezium {
        let distribution = distribution();
        let folder = home().folder.join(format!("debezium-{prefix}"));
        fs::create_dir(&folder).expect("make a folder for Debezium");
        let source_settings = [
            "connector.class=io.debezium.connector.postgresql.PostgresConnector".to_owned(),
            "plugin.name=pgoutput".to_owned(),
            format!("slot.name={prefix}"),
            format!("publication.name={prefix}"),
            "publication.autocreate.mode=filtered".to_owned(),
            format!("offset.storage.file.filename={}/offsets", folder.display()),
            "offset.flush.interval.ms=0".to_owned(),
            "database.hostname=127.0.0.1".to_owned(),
            format!("database.port={}", source.server.port),
            "database.user=postgres".to_owned(),
            "database.password=postgres".to_owned(),
            format!("database.dbname={}", source.name),
            format!("topic.prefix={prefix}"),
            "schema.include.list=public".to_owned(),
            "poll.interval.ms=50".to_owned(),
        ];
        let sink_settings = [
            "debezium.sink.type=kafka".to_owned(),
            format!("debezium.sink.kafka.producer.bootstrap.servers={}", broker.servers()),
            "debezium.sink.kafka.producer.key.serializer=org.apache.kafka.common.serialization.StringSerializer".to_owned(),
            "debezium.sink.kafka.producer.value.serializer=org.apache.kafka.common.serialization.StringSerializer".to_owned(),
            "debezium.format.key.schemas.enable=false".to_owned(),
            "debezium.format.value.schemas.enable=false".to_owned(),
            "debezium.format.header.schemas.enable=false".to_owned(),
            "quarkus.http.host=127.0.0.1".to_owned(),
            format!("quarkus.http.port={}", free_port()),
            "quarkus.log.console.json=false".to_owned(),
        ];
        let source_settings = source_settings.iter().map(String::as_str).chain(settings.iter().copied());
        let lines = source_settings.map(|line| format!("debezium.source.{line}")).chain(sink_settings);
        let properties = folder.join("application.properties");
        fs::write(&properties, lines.collect::<Vec<_>>().join("\n")).expect("write application.properties");
        let mut command = Command::new(java());
        command.args(["-Xms256m", "-Xmx512m", "-XX:-UsePerfData"]);
        command.arg(format!("-Djava.io.tmpdir={}", folder.display()));
        command.args(["-cp", &class_path(&distribution), "io.debezium.server.Main"]);
        command.current_dir(&distribution).env("QUARKUS_CONFIG_LOCATIONS", &properties).stdin(Stdio::null());
        let log = File::create(folder.join("log")).expect("make a log for Debezium");
        command.stdout(log.try_clone().expect("share a log")).stderr(log);
        let debezium = Debezium { _process: Process::spawn_java(&mut command), folder };
        debezium.wait_for_log("Processing messages");
        debezium
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
            let ended = self._process.exit_status();
            assert!(ended.is_none(), "Debezium has ended, {ended:?}; its log ends so:\n{end}");
            Err(format!("Debezium has not said {line:?}; its log ends so:\n{end}"))
        });
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }
}

/// Where `tests/setup.sh debezium` has put it.
fn distribution() -> PathBuf {
    static WHERE: OnceLock<PathBuf> = OnceLock::new();
    let fetch = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup.sh");
        let output = Command::new(&script).arg("debezium").stderr(Stdio::inherit()).output();
        let output = output.expect("run setup.sh");
        assert!(output.status.success(), "{} debezium failed", script.display());
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    WHERE.get_or_init(fetch).clone()
}

fn class_path(distribution: &Path) -> String {
    let runner = fs::read_dir(distribution).expect("look at Debezium").flatten();
    let runner = runner.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let runner = runner.into_iter().find(|name| name.ends_with("-runner.jar")).expect("Debezium's runner");
    format!("{runner}:config/lib:lib/*")
}

/// A Java that is new enough.
fn java() -> PathBuf {
    let machines = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let javas = machines.map(|entry| entry.path().join("bin/java")).filter(|java| java.exists());
    let version = |java: &PathBuf| -> Option<u32> {
        let output = Command::new(java).arg("-version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.split('"').nth(1)?.split('.').next()?.parse().ok()
    };
    let newest = javas.max_by_key(version);
    let newest = newest.filter(|java| version(java) >= Some(JAVA));
    newest.unwrap_or_else(|| {
        panic!("Debezium Server needs Java {JAVA} or newer, and /usr/lib/jvm has none: install one")
    })
}
