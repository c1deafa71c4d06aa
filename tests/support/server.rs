//! A private PostgreSQL server: its own data directory, port and socket, from the private copy of the binaries.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use postgres::{Config, NoTls};
use rustix::process::{geteuid, Signal};

use crate::certificates::Authority;
use crate::run::{home, Process};
use crate::{wait_until, Database, SOON};

/// How clients on TCP prove who they are. The socket, which the tests themselves use, always trusts.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Auth {
    /// They don't.
    #[default]
    Trust,
    /// `scram-sha-256`
    Scram,
    /// `md5`
    Md5,
}

/// What makes a server differ from the ordinary one.
#[derive(Default)]
pub struct Options {
    /// For TCP.
    pub auth: Auth,
    /// The superuser's password; matters with [`Auth::Scram`] and [`Auth::Md5`].
    pub password: Option<&'static str>,
    /// Offers TLS with a certificate for `localhost`, signed by [`Server::ca`].
    pub tls: bool,
    /// More lines for postgresql.conf; the last word on a setting counts.
    pub conf: Vec<String>,
}

/// How to stop.
pub enum Stop {
    /// Sessions are ended, everything is written.
    Fast,
    /// Like a crash: recovery follows.
    Immediate,
}

/// A running server; it stops and disappears when the value does.
pub struct Server {
    /// `source`, `target` or what the test calls it.
    pub name: String,
    /// On 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// The source shared by the tests of this process.
    pub fn source() -> &'static Arc<Server> {
        static SOURCE: OnceLock<Arc<Server>> = OnceLock::new();
        SOURCE.get_or_init(|| Server::start("source", &Options::default()))
    }

    /// The target shared by the tests of this process.
    pub fn target() -> &'static Arc<Server> {
        static TARGET: OnceLock<Arc<Server>> = OnceLock::new();
        TARGET.get_or_init(|| Server::start("target", &Options::default()))
    }

    /// Makes a server; `name` is for those who look at it.
    pub fn start(name: &str, options: &Options) -> Arc<Server> {
        let port = free_port();
        let server = Server {
            name: name.to_owned(),
            port,
            folder: home().folder.join(format!("{name}-{port}")),
            process: Mutex::default(),
        };
        server.initialise(options);
        server.start_again();
        Arc::new(server)
    }

    fn initialise(&self, options: &Options) {
        let password = self.folder.join("password");
        fs::create_dir(&self.folder)
            .unwrap_or_else(|error| panic!("make {}: {error}", self.folder.display()));
        fs::write(&password, options.password.unwrap_or("postgres")).expect("write the password file");
        give_to_server(&[&self.folder, &password]);
        let auth = match options.auth {
            Auth::Trust => "trust",
            Auth::Scram => "scram-sha-256",
            Auth::Md5 => "md5",
        };
        run_checked(
            as_server(&mut self.command("initdb"))
                .args(["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N", "--auth-local=trust"])
                .arg(format!("--auth-host={auth}"))
                .arg("--pwfile")
                .arg(&password)
                .arg("-D")
                .arg(self.data()),
        );
        let mut conf = vec![
            format!("port = {}", self.port),
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("unix_socket_directories = '{}'", self.folder.display()),
            format!("cluster_name = '{}'", self.name),
            "wal_level = logical".to_owned(),
            "max_connections = 200".to_owned(),
            "max_replication_slots = 60".to_owned(),
            "max_wal_senders = 60".to_owned(),
            "fsync = off".to_owned(), // a killed process loses nothing by it, only a lost machine would
        ];
        if options.auth == Auth::Md5 {
            conf.push("password_encryption = md5".to_owned());
        }
        if options.tls {
            self.make_certificates();
            conf.push("ssl = on".to_owned());
        }
        conf.extend_from_slice(&options.conf);
        fs::write(self.data().join("postgresql.auto.conf"), conf.join("\n") + "\n")
            .expect("write the settings");
    }

    /// Starts a server that was stopped or killed, and waits until it answers.
    pub fn start_again(&self) {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "server {} runs already", self.name);
        let mut process = self.spawn();
        wait_until(&format!("server {} answers", self.name), SOON, || {
            if process.exit_status().is_some() {
                let log = self.log();
                // A child of the killed postmaster may live a moment longer and keep the shared memory.
                let early = log.lines().rev().take(3).any(|line| line.contains("is still in use"));
                assert!(early, "server {} does not start:\n{log}", self.name);
                process = self.spawn();
            }
            self.connect("postgres").ok()
        });
        *running = Some(process);
    }

    fn spawn(&self) -> Process {
        let log =
            File::options().create(true).append(true).open(self.log_file()).expect("open a server's log");
        let error = log.try_clone().expect("share a server's log");
        let mut command = self.command("postgres");
        Process::spawn(as_server(&mut command).arg("-D").arg(self.data()).stdout(log).stderr(error))
    }

    /// Stops it and waits until it has.
    pub fn stop(&self, how: Stop) {
        let process = self.take_process();
        process.signal(match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        });
        process.wait(&format!("server {}", self.name), SOON);
    }

    /// `kill -9` of the postmaster; its children notice and end.
    pub fn kill(&self) {
        self.take_process().kill();
    }

    fn take_process(&self) -> Process {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        running.take().unwrap_or_else(|| panic!("server {} does not run", self.name))
    }

    /// A new, empty database.
    pub fn database(self: &Arc<Self>) -> Database {
        Database::create(self.clone())
    }

    /// For clients: TCP on the loopback interface.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The directory of the unix socket.
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// The certificate that signed the server's own; only with [`Options::tls`].
    pub fn ca(&self) -> PathBuf {
        self.data().join("ca.crt")
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// One of its client programs (`pg_dump`, `pgbench`, `psql`...), set to talk to it as superuser.
    pub fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.env("PGHOST", &self.folder).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command
    }

    pub(crate) fn connect(&self, database: &str) -> Result<postgres::Client, postgres::Error> {
        let mut config = Config::new();
        config.host_path(&self.folder).port(self.port).user("postgres").dbname(database);
        config.application_name("pgstream-tests").connect(NoTls)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(home().bin_dir.join(program));
        command.current_dir("/").stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        // The extension's errors would carry a backtrace in their detail.
        command.env_remove("RUST_BACKTRACE");
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn make_certificates(&self) {
        let data = self.data();
        Authority::new(&data).issue("server", "DNS:localhost");
        let [ca, certificate, key] = ["ca.crt", "server.crt", "server.key"].map(|name| data.join(name));
        give_to_server(&[&key, &certificate, &ca]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            process.signal(Signal::QUIT);
            if !std::thread::panicking() {
                process.wait(&format!("server {}", self.name), SOON);
            }
        }
    }
}

/// PostgreSQL refuses to run as root: then it runs as user postgres, whom its packages bring.
fn server_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        let id = |which: &str| {
            let output = run_checked(Command::new("id").args([which, "postgres"]));
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("id prints a number")
        };
        geteuid().is_root().then(|| (id("-u"), id("-g")))
    })
}

pub(crate) fn as_server(command: &mut Command) -> &mut Command {
    match server_user() {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

pub(crate) fn give_to_server(paths: &[&Path]) {
    if let Some((user, group)) = server_user() {
        for path in paths {
            std::os::unix::fs::chown(path, Some(user), Some(group))
                .unwrap_or_else(|error| panic!("give {} to user postgres: {error}", path.display()));
        }
    }
}

/// Runs a program to its end and gives what it printed; panics with its error output when it fails.
pub(crate) fn run_checked(command: &mut Command) -> Output {
    let output =
        command.output().unwrap_or_else(|error| panic!("start {:?}: {error}", command.get_program()));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} failed: {}\n{complaint}", command.get_program(), output.status);
    output
}

/// Free a moment ago; a server that finds it taken says so in its log.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("ask for a free port");
    listener.local_addr().expect("see the port").port()
}
