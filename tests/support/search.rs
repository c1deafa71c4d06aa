//! A private node of OpenSearch or Elasticsearch, run from the distribution that `tests/setup.sh` has fetched.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{json, Value as Json};

use crate::run::{home, Process};
use crate::server::{as_server, free_port, give_to_server};
use crate::{wait_for, LONG};

/// A small and quickly started machine.
const MACHINE: &str = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:-UsePerfData";
/// How long one answer may take; the deadlines around it are longer.
const ANSWER: Duration = Duration::from_secs(20);

/// [`Node::LOGIN`] in base64.
const LOGIN_HEADER: &str = "Basic ZWxhc3RpYzpzZWNyZXQtb2YtdGVzdHM=";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// OpenSearch.
    OpenSearch,
    /// Elasticsearch.
    Elasticsearch,
}

impl Engine {
    /// As `--target` names it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::OpenSearch => "opensearch",
            Engine::Elasticsearch => "elasticsearch",
        }
    }

    fn home(self) -> &'static Path {
        match self {
            Engine::OpenSearch => &home().opensearch,
            Engine::Elasticsearch => &home().elasticsearch,
        }
    }

    /// Its variables begin so.
    fn prefix(self) -> &'static str {
        match self {
            Engine::OpenSearch => "OPENSEARCH",
            Engine::Elasticsearch => "ES",
        }
    }
}

/// A running node; it ends when the value does.
pub struct Node {
    /// What it is.
    pub engine: Engine,
    /// On 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    machine: &'static str,
    agent: ureq::Agent,
    process: Mutex<Option<Process>>,
}

/// A document of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its version.
    pub version: u64,
    /// What was stored.
    pub source: Json,
}

impl Node {
    /// User and password of one that asks for a login: an Elasticsearch with `xpack.security.enabled: true`.
    pub const LOGIN: &str = "elastic:secret-of-tests";

    /// The one of this engine that the tests of this process share.
    pub fn shared(engine: Engine) -> &'static Arc<Node> {
        static NODES: [OnceLock<Arc<Node>>; 2] = [OnceLock::new(), OnceLock::new()];
        NODES[engine as usize].get_or_init(|| Node::start(engine, &[]))
    }

    /// Makes one of its own, to be stopped and killed; with more lines of configuration.
    pub fn start(engine: Engine, conf: &[&str]) -> Arc<Node> {
        Node::on_machine(engine, conf, MACHINE)
    }

    /// The same with options of the Java machine in place of those that make it start quickly.
    pub fn on_machine(engine: Engine, conf: &[&str], machine: &'static str) -> Arc<Node> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = home().folder.join(format!("{}-{number}", engine.name()));
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false);
        let node = Node {
            engine,
            port: free_port(),
            folder,
            machine,
            agent: config.build().into(),
            process: Mutex::default(),
        };
        node.initialise(conf);
        node.start_again();
        Arc::new(node)
    }

    fn initialise(&self, conf: &[&str]) {
        let distribution = self.engine.home();
        assert!(distribution.exists(), "no {}: tests/setup.sh could not fetch it", distribution.display());
        let config = self.folder.join("config");
        for folder in [
            &self.folder,
            &config,
            &self.folder.join("data"),
            &self.folder.join("logs"),
            &self.folder.join("tmp"),
        ] {
            fs::create_dir(folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
            give_to_server(&[folder]);
        }
        copy(&distribution.join("config"), &config);
        // Paths in it are relative to where nobody may write.
        let options = config.join("jvm.options");
        let text = fs::read_to_string(&options).expect("read jvm.options");
        let logs = format!("{}/logs/", self.folder.display());
        let text = text.replace("logs/", &logs).replace("file=gc.log", &format!("file={logs}gc.log"));
        let text = text.replace("ErrorFile=hs_err", &format!("ErrorFile={logs}hs_err"));
        fs::write(&options, text).expect("write jvm.options");
        let mut lines = vec![
            "discovery.type: single-node".to_owned(),
            "network.host: 127.0.0.1".to_owned(),
            format!("http.port: {}", self.port),
            format!("transport.port: {}", free_port()),
            format!("path.data: {}", self.folder.join("data").display()),
            format!("path.logs: {}", self.folder.join("logs").display()),
            "cluster.routing.allocation.disk.threshold_enabled: false".to_owned(),
        ];
        if self.engine == Engine::Elasticsearch {
            lines.push("xpack.security.autoconfiguration.enabled: false".to_owned());
            if !conf.iter().any(|line| line.starts_with("xpack.security.enabled")) {
                lines.push("xpack.security.enabled: false".to_owned());
            }
        }
        lines.extend(conf.iter().map(|line| (*line).to_owned()));
        fs::write(config.join(format!("{}.yml", self.engine.name())), lines.join("\n") + "\n")
            .expect("write its configuration");
        if conf.contains(&"xpack.security.enabled: true") {
            self.set_password();
        }
    }

    /// Gives an Elasticsearch its first password.
    fn set_password(&self) {
        for (arguments, input) in
            [(&["create"][..], ""), (&["add", "-x", "bootstrap.password"], "secret-of-tests")]
        {
            let mut command = Command::new("bash");
            command.arg(self.engine.home().join("bin/elasticsearch-keystore")).args(arguments);
            command.env("ES_PATH_CONF", self.folder.join("config")).env("ES_JAVA_HOME", self.java());
            command.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut child = as_server(&mut command).spawn().expect("run elasticsearch-keystore");
            child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("write the password");
            assert!(
                child.wait().expect("wait for it").success(),
                "elasticsearch-keystore {arguments:?} failed"
            );
        }
    }

    /// Starts one that was stopped or killed, on the same port and data, and waits until it serves.
    #[track_caller]
    pub fn start_again(&self) {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "the node runs already");
        let log = self.folder.join("node.log");
        let output = File::options().create(true).append(true).open(&log).expect("open a node's log");
        let error = output.try_clone().expect("share a node's log");
        let mut command = Command::new("bash");
        command.arg(self.engine.home().join("bin").join(self.engine.name())).current_dir(&self.folder);
        let prefix = self.engine.prefix();
        let variable = |name: &str| format!("{prefix}_{name}");
        let java = self.java();
        command.env("JAVA_HOME", &java).env(variable("JAVA_HOME"), &java);
        command
            .env(variable("PATH_CONF"), self.folder.join("config"))
            .env(variable("TMPDIR"), self.folder.join("tmp"));
        command.env(variable("JAVA_OPTS"), self.machine).stdin(Stdio::null()).stdout(output).stderr(error);
        let process = Process::spawn_java(as_server(&mut command));
        wait_for(LONG, || {
            let ended = process.exit_status();
            let text = fs::read_to_string(&log).unwrap_or_default();
            let from = text.lines().count().saturating_sub(20);
            let last = text.lines().skip(from).collect::<Vec<_>>().join("\n");
            assert!(ended.is_none(), "the node does not start, {ended:?}; its log ends so:\n{last}");
            match self.try_request("GET", "_cluster/health?wait_for_status=yellow&timeout=1s", None) {
                Ok((200, _)) => Ok(()),
                _ => Err(format!("the node has not started; its log ends so:\n{last}")),
            }
        });
        *running = Some(process);
    }

    /// OpenSearch 3 asks for a newer Java than the machine's own may be.
    fn java(&self) -> PathBuf {
        let modern = &home().modern_java;
        let java = match self.engine {
            Engine::OpenSearch if !modern.as_os_str().is_empty() => modern.clone(),
            _ => fs::canonicalize("/usr/bin/java").expect("find Java"),
        };
        java.parent().and_then(Path::parent).expect("Java's home").to_owned()
    }

    /// Stops it as an operator does, and waits until it has.
    #[track_caller]
    pub fn stop(&self) {
        let process = self.take_process();
        process.signal(Signal::TERM);
        process.wait("the node", LONG);
    }

    /// Kills it.
    #[track_caller]
    pub fn kill(&self) {
        self.take_process().kill();
    }

    #[track_caller]
    fn take_process(&self) -> Process {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take().expect("the node runs")
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks it; status and answer. Panics when there is none.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Json>) -> (u16, Json) {
        self.try_request(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Posts lines of JSON to `_bulk`; all of them must be taken.
    #[track_caller]
    pub fn bulk(&self, lines: &str) {
        let answer = self.send("POST", "_bulk?filter_path=errors", lines.to_owned());
        let (status, answer) = answer.unwrap_or_else(|error| panic!("_bulk: {error}"));
        assert!(status == 200 && answer["errors"] == false, "_bulk: {status} {answer}");
    }

    fn try_request(&self, method: &str, path: &str, body: Option<&Json>) -> Result<(u16, Json), ureq::Error> {
        self.send(method, path, body.map(Json::to_string).unwrap_or_default())
    }

    fn send(&self, method: &str, path: &str, body: String) -> Result<(u16, Json), ureq::Error> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url()))
            .header("content-type", "application/json")
            // Who does not ask for it passes over it.
            .header("authorization", LOGIN_HEADER)
            .body(body)?;
        let mut answer = self.agent.run(request)?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::String(text))))
    }

    /// Asks for something that is there.
    #[track_caller]
    pub fn get(&self, path: &str) -> Json {
        let (status, answer) = self.request("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// All documents of an index or alias, by id; none where there is no such index.
    #[track_caller]
    pub fn documents(&self, index: &str) -> BTreeMap<String, Document> {
        if self.request("POST", &format!("{index}/_refresh"), None).0 == 404 {
            return BTreeMap::new();
        }
        let query = json!({ "size": 10_000, "version": true, "track_total_hits": true });
        let (status, answer) = self.request("POST", &format!("{index}/_search"), Some(&query));
        assert_eq!(status, 200, "{index}: {answer}");
        let hits = answer["hits"]["hits"].as_array().expect("hits");
        assert_eq!(answer["hits"]["total"]["value"].as_u64(), Some(hits.len() as u64), "more than one page");
        let document = |hit: &Json| {
            let version = hit["_version"].as_u64().expect("a version");
            (
                hit["_id"].as_str().expect("an id").to_owned(),
                Document { version, source: hit["_source"].clone() },
            )
        };
        hits.iter().map(document).collect()
    }
}

/// Copies a folder's files.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("list a folder") {
        let entry = entry.expect("list a folder");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("make a folder");
            give_to_server(&[&target]);
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copy a file");
            give_to_server(&[&target]);
        }
    }
}
