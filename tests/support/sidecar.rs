//! The sidecar as users run it: the built binary, arguments, environment, a file; what it prints and how it ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::run::{home, Process};
use crate::{wait_until, Session, LONG, SOON};

/// A sidecar to be started, or running; it is killed when the value goes.
pub struct Sidecar {
    command: Command,
    folder: PathBuf,
    process: Option<Process>,
}

/// A sidecar that has ended by itself.
pub struct Finished {
    /// None when a signal ended it.
    pub code: Option<i32>,
    /// All it reported.
    pub stdout: String,
    /// All it said besides.
    pub stderr: String,
}

impl Sidecar {
    /// `pgstream` with these arguments, and nothing of the caller's environment that it would read.
    pub fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Sidecar {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let folder = home().folder.join(format!("pgstream-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).expect("make a sidecar's folder");
        let mut command = Command::new(&home().pgstream);
        command.args(args).current_dir(&folder).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        Sidecar { command, folder, process: None }
    }

    /// `pgstream run` from one database to the other, by flags alone.
    pub fn replicate(source: &crate::Database, target: &crate::Database) -> Sidecar {
        let (source, target) = (source.url(), target.url());
        let urls = ["--source-url", &source, "--target-url", &target];
        Sidecar::new([&["run", "--source", "postgres", "--target", "postgres"], &urls[..]].concat())
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Sidecar {
        self.command.arg(arg);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Sidecar {
        self.command.env(name, value);
        self
    }

    /// Writes a file into the folder it runs in, where `-c name` finds it.
    pub fn file(self, name: &str, content: &str) -> Sidecar {
        fs::write(self.folder.join(name), content).expect("write a file for the sidecar");
        self
    }

    /// Starts it, the first time or again; output goes on after what is there.
    pub fn start(mut self) -> Sidecar {
        self.start_again();
        self
    }

    /// The same once more, after it ended.
    pub fn start_again(&mut self) {
        let open = |name: &str| File::options().create(true).append(true).open(self.folder.join(name));
        let stdout = open("stdout").expect("open a sidecar's stdout");
        let stderr = open("stderr").expect("open a sidecar's stderr");
        self.process = Some(Process::spawn(self.command.stdout(stdout).stderr(stderr)));
    }

    /// Runs it to its end.
    pub fn finish(self) -> Finished {
        let sidecar = self.start();
        let status = sidecar.wait(LONG);
        Finished { code: status.code(), stdout: sidecar.stdout(), stderr: sidecar.stderr() }
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("a sidecar that was started")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&self, deadline: Duration) -> ExitStatus {
        self.process().wait(&format!("pgstream, which said:\n{}", self.stderr()), deadline)
    }

    /// Asks it to stop, as soon as it can be asked, and waits until it has.
    #[track_caller]
    pub fn stop(&self) -> ExitStatus {
        let process = self.process();
        wait_until("a sidecar that can be asked to stop", SOON, || {
            (process.exit_status().is_some() || process.catches(Signal::TERM)).then_some(())
        });
        process.signal(Signal::TERM);
        self.wait(SOON)
    }

    /// Kills it.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Polls closely until a condition holds in a session, and tells how long that took; the end of the sidecar
    /// ends the wait.
    #[track_caller]
    pub fn time_until(&self, session: &mut Session, condition: &str) -> Duration {
        let start = Instant::now();
        while !session.holds(condition) {
            let ended = self.process().exit_status();
            assert!(ended.is_none(), "pgstream has ended, {ended:?}, before this: {condition}");
            assert!(start.elapsed() < LONG, "after {LONG:?} still not: {condition}");
            std::thread::sleep(Duration::from_micros(100));
        }
        start.elapsed()
    }

    /// Polls closely until the last of what it printed contains `part`. Only the end is read: the output may be large.
    #[track_caller]
    pub fn time_until_printed(&self, part: &str) -> Duration {
        const END: i64 = 4096;
        let start = Instant::now();
        let path = self.folder.join("stdout");
        let printed = || {
            let mut file = File::open(&path).ok()?;
            let length = i64::try_from(file.metadata().ok()?.len()).ok()?;
            file.seek(SeekFrom::End(-length.min(END))).ok()?;
            let mut end = Vec::new();
            file.read_to_end(&mut end).ok()?;
            String::from_utf8_lossy(&end).contains(part).then_some(())
        };
        while printed().is_none() {
            let ended = self.process().exit_status();
            assert!(ended.is_none(), "pgstream has ended, {ended:?}, before it printed {part}");
            assert!(start.elapsed() < LONG, "after {LONG:?} not printed: {part}");
            std::thread::sleep(Duration::from_micros(500));
        }
        start.elapsed()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// What it said besides, so far.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    /// Waits until a line of either output contains `part`, and gives the line back.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str, deadline: Duration) -> String {
        let what = format!("line with {part:?} from pgstream");
        wait_until(&what, deadline, || {
            let ended = self.process().exit_status();
            let output = self.stdout() + &self.stderr();
            let line = output.lines().find(|line| line.contains(part)).map(str::to_owned);
            assert!(line.is_some() || ended.is_none(), "{what}: it ended, {ended:?}, and said:\n{output}");
            line
        })
    }

    fn output(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // A failing test shows what the sidecar had to say; the harness keeps it with the test's own output.
        if std::thread::panicking() && self.process.is_some() {
            let said = self.stderr();
            let tail = said.lines().rev().take(20).collect::<Vec<_>>();
            eprintln!("pgstream's last lines:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
