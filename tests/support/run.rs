//! One run: where things are, a folder of its own, and the certainty that nothing outlives it.
//!
//! ```text
//! test process ──pipe──> watchdog (sh)      at end of file, that is when the test process is gone:
//!      │ writes                │            ends every process listed, then removes the folder
//!      └──> runs/<pid>/pids <──┘
//! ```
//! There is no other clean-up to rely on: a panic, Ctrl-C and SIGKILL all close the pipe.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{kill_process, Pid, Signal};

use crate::wait_until;

/// A process is ended by the signal its file names; who does not listen is killed. `PGSTREAM_TEST_KEEP`
/// leaves the folder with its logs behind.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
cd "$1/pids" || exit
for pid in *; do kill -"$(cat "$pid")" "$pid"; done
for turn in $(seq 100); do
    for pid in *; do kill -0 "$pid" || rm -f "$pid"; done
    [ -z "$(ls)" ] && break
    sleep 0.05
done
for pid in *; do kill -KILL "$pid"; done
cd / && [ -n "$PGSTREAM_TEST_KEEP" ] && exit
for turn in $(seq 100); do rm -rf "$1" && break; sleep 0.1; done # an initdb may still be at work in it
"#;

/// What `tests/setup.sh` has made, and the folder of this run.
pub struct Home {
    /// The private server's programs.
    pub bin_dir: PathBuf,
    /// The sidecar under test.
    pub pgstream: PathBuf,
    /// Kafka's jars.
    pub kafka: PathBuf,
    /// OpenSearch.
    pub opensearch: PathBuf,
    /// Elasticsearch.
    pub elasticsearch: PathBuf,
    /// Debezium Server; there only where the bench had it fetched.
    pub debezium: PathBuf,
    /// A Java of 21 or later; empty where the machine has none.
    pub modern_java: PathBuf,
    /// Everything this process makes lies here and goes with it.
    pub folder: PathBuf,
    _watchdog: Child,
}

/// The one [`Home`] of this process; the first call sets it up.
pub fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(set_up)
}

fn set_up() -> Home {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup.sh");
    let profile = if cfg!(debug_assertions) { None } else { Some("--release") };
    let output = Command::new(&script).args(profile).stderr(Stdio::inherit()).output().expect("run setup.sh");
    assert!(output.status.success(), "{} failed", script.display());
    let output = String::from_utf8(output.stdout).expect("setup.sh prints text");
    let value = |name: &str| {
        let found = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(found.unwrap_or_else(|| panic!("setup.sh printed no {name}")))
    };
    let folder = value("runs").join(std::process::id().to_string());
    fs::create_dir_all(folder.join("pids")).expect("make the folder of this run");
    let watchdog = Command::new("sh")
        .args([OsStr::new("-c"), WATCHDOG.as_ref(), "watchdog".as_ref(), folder.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("start the watchdog");
    Home {
        bin_dir: value("bin_dir"),
        pgstream: value("pgstream"),
        kafka: value("kafka"),
        opensearch: value("opensearch"),
        elasticsearch: value("elasticsearch"),
        debezium: value("debezium"),
        modern_java: value("modern_java"),
        folder,
        _watchdog: watchdog,
    }
}

/// A child that ends with this value, or with this process.
pub struct Process {
    pid: Pid,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command` in a process group of its own, so that Ctrl-C reaches it only through us. SIGQUIT is to end
    /// it after us: a PostgreSQL server does that without a checkpoint, and nearly everything else as well.
    pub fn spawn(command: &mut Command) -> Process {
        Process::spawn_ended_by(command, "QUIT")
    }

    /// The same for what takes SIGQUIT as a question, as a Java machine does: nothing but SIGKILL is to end it.
    pub fn spawn_java(command: &mut Command) -> Process {
        Process::spawn_ended_by(command, "KILL")
    }

    fn spawn_ended_by(command: &mut Command, signal: &str) -> Process {
        let program = command.get_program().to_owned();
        let child = command
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.to_string_lossy()));
        let pid = Pid::from_child(&child);
        fs::write(pid_file(pid), signal).expect("note a pid");
        Process { pid, child: Mutex::new(child) }
    }

    /// The id, as the system knows it.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.exit_status().is_none() {
            // Between the look and this it may have ended; it stays a zombie of ours, so the id is still its own.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// How it ended, if it did.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let status = self.lock().try_wait().expect("look at a child");
        if status.is_some() {
            let _ = fs::remove_file(pid_file(self.pid));
        }
        status
    }

    /// Waits for its end.
    pub fn wait(&self, what: &str, deadline: Duration) -> ExitStatus {
        wait_until(&format!("end of {what}"), deadline, || self.exit_status())
    }

    /// Kills it, at once and for good.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        let _: io::Result<ExitStatus> = self.lock().wait();
        let _ = fs::remove_file(pid_file(self.pid));
    }

    /// A line of its `/proc` status in bytes: `VmRSS` is the memory it holds now, `VmHWM` the most it ever held.
    pub fn memory(&self, line: &str) -> u64 {
        let value = self.status(line);
        let kib = value.strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("{line} of a process is {value}")) * 1024
    }

    /// Whether it has a handler of its own for `signal`; until it has, the signal simply ends it.
    pub fn catches(&self, signal: Signal) -> bool {
        let caught = u64::from_str_radix(&self.status("SigCgt"), 16).expect("a mask of signals");
        caught >> (signal.as_raw() - 1) & 1 == 1
    }

    /// A line of its `/proc` status.
    fn status(&self, line: &str) -> String {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.id())).expect("read a process's status");
        let value = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {line} in a process's status")).trim().to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid_file(pid: Pid) -> PathBuf {
    home().folder.join("pids").join(pid.as_raw_nonzero().to_string())
}
