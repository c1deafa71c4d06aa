//! The programs that copy a database, run to their end and timed. All of them reach both servers by TCP and find
//! the same `pg_dump` and `pg_restore`, those of the private server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pgstream_tests::{home, Database, Process, Sidecar};

/// No copy here takes nearly as long.
const DEADLINE: Duration = Duration::from_secs(1800);

/// A program that copies.
pub(super) struct Program {
    /// For the report, with the version where it is not ours to know.
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Pgstream,
    Pgcopydb,
    DumpRestore,
}

/// What a copy took.
pub(super) struct Cost {
    /// From the start of the first process to the end of the last.
    pub(super) seconds: f64,
    /// The same with statistics for the target, which the others make by themselves.
    pub(super) analyzed: f64,
    /// The most memory that the program's first process held, in bytes.
    pub(super) memory: u64,
}

impl Program {
    /// Ours, then the others.
    pub(super) fn all() -> [Program; 3] {
        let pgcopydb = format!("pgcopydb {}", pgcopydb_version().unwrap_or_default());
        [
            Program { name: "pgstream".to_owned(), kind: Kind::Pgstream },
            Program { name: pgcopydb.trim_end().to_owned(), kind: Kind::Pgcopydb },
            Program { name: "dump + restore".to_owned(), kind: Kind::DumpRestore },
        ]
    }

    /// Copies all of one database into another, which is empty. The error is for the report.
    pub(super) fn copy(&self, source: &Database, target: &Database) -> Result<Cost, String> {
        let (from, to) = (source.url(), target.url());
        match self.kind {
            Kind::Pgstream => pgstream(&from, &to),
            Kind::Pgcopydb if pgcopydb_version().is_none() => Err("it is not installed".to_owned()),
            Kind::Pgcopydb => {
                let folder = Folder::new();
                let mut command = Command::new("pgcopydb");
                command.args(["clone", "--table-jobs", "2", "--index-jobs", "2"]);
                command.args(["--source", &from, "--target", &to, "--dir"]).arg(folder.0.join("work"));
                run(&mut command, &folder)
            }
            Kind::DumpRestore => {
                let folder = Folder::new();
                let archive = folder.0.join("archive");
                let mut dump = source.client("pg_dump");
                let dump = run(dump.args(["-Fd", "-j2", "-Z0", "-d", &from, "-f"]).arg(&archive), &folder)?;
                let mut restore = target.client("pg_restore");
                let restore = run(restore.args(["-j2", "-d", &to]).arg(&archive), &folder)?;
                let seconds = dump.seconds + restore.seconds;
                let mut analyze = target.client("vacuumdb");
                let analyze = run(analyze.args(["--analyze-only", "-j2", "-d", &to]), &folder)?;
                let analyzed = seconds + analyze.seconds;
                Ok(Cost { seconds, analyzed, memory: dump.memory.max(restore.memory) })
            }
        }
    }
}

/// None: it is not installed.
fn pgcopydb_version() -> Option<String> {
    let output = Command::new("pgcopydb").arg("--version").stdin(Stdio::null()).output().ok()?;
    // pgcopydb version 0.10-1
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_whitespace().nth(2)?.to_owned())
}

fn pgstream(from: &str, to: &str) -> Result<Cost, String> {
    let urls = ["--postgres-url", from, "--target", "postgres", "--target-url", to];
    let args = [&["snapshot", "--tables", "*.*"], &urls[..]].concat();
    let sidecar = Sidecar::new(args).env("PATH", &path().to_string_lossy());
    let start = Instant::now();
    let sidecar = sidecar.start();
    let (good, memory) = finish(sidecar.process());
    let seconds = start.elapsed().as_secs_f64();
    good.then_some(Cost { seconds, analyzed: seconds, memory })
        .ok_or_else(|| what_went_wrong(&sidecar.stderr()))
}

/// Runs a command to its end; what it says goes to a file in its folder.
fn run(command: &mut Command, folder: &Folder) -> Result<Cost, String> {
    let said = folder.0.join("said");
    let out = File::options().create(true).append(true).open(&said).expect("open a program's log");
    let err = out.try_clone().expect("share a program's log");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("PATH", path()).env("XDG_DATA_HOME", &folder.0).current_dir(&folder.0);
    let start = Instant::now();
    let process = Process::spawn(command.stdin(Stdio::null()).stdout(out).stderr(err));
    let (good, memory) = finish(&process);
    let seconds = start.elapsed().as_secs_f64();
    let said = || String::from_utf8_lossy(&fs::read(&said).unwrap_or_default()).into_owned();
    good.then_some(Cost { seconds, analyzed: seconds, memory }).ok_or_else(|| what_went_wrong(&said()))
}

/// Waits for the end: whether it was a good one, and the most memory held. A process that has ended tells nothing of
/// its memory any more, so it is asked all the while; what it takes in its last milliseconds is missed.
fn finish(process: &Process) -> (bool, u64) {
    let status = format!("/proc/{}/status", process.id());
    let start = Instant::now();
    let mut most = 0;
    loop {
        most = fs::read_to_string(&status).ok().and_then(|text| peak(&text)).unwrap_or(most);
        if let Some(status) = process.exit_status() {
            return (status.success(), most);
        }
        assert!(start.elapsed() < DEADLINE, "a copy does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `VmHWM` of a `/proc` status, in bytes; an ended process has none.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The private server's programs before the machine's.
fn path() -> OsString {
    let mut path = home().bin_dir.clone().into_os_string();
    if let Some(machine) = std::env::var_os("PATH") {
        path.push(":");
        path.push(machine);
    }
    path
}

/// The first line that speaks of an error, else the last one.
fn what_went_wrong(said: &str) -> String {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().next_back().unwrap_or("it said nothing");
    lines.find(|line| line.to_lowercase().contains("error")).unwrap_or(last).to_owned()
}

/// A folder of one copy; it goes when the value does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let folder = home().folder.join(format!("copy-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&folder).expect("make a folder for a copy");
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays goes with the run.
        let _ = fs::remove_dir_all(&self.0);
    }
}
