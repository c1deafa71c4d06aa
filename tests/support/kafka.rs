//! A private Kafka broker: one node with its own data and ports, run from the jars `tests/setup.sh` has fetched.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{prlimit, Pid, Resource, Rlimit, Signal};

use crate::run::{home, Process};
use crate::server::{free_port, run_checked};
use crate::{wait_for, LONG, SOON};

/// Marks the data as this node's; any 16 bytes would do.
const CLUSTER: &str = "cGdzdHJlYW0tdGVzdHMtMQ";

/// A small and quickly started machine.
const SMALL: [&str; 4] = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// Of every machine: it leaves nothing in the system's folder for temporary files.
const MACHINE: [&str; 2] = ["-XX:-UsePerfData", "-Dlog4j.configuration=file:log4j.properties"];

const LOG4J: &str = "\
log4j.rootLogger=INFO, stdout
log4j.logger.kafka.server.KafkaConfig=WARN
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{HH:mm:ss,SSS} %p %m (%c)%n
";

/// How long one question to a broker may take; the deadlines around it are longer.
const ANSWER: Duration = Duration::from_secs(5);

/// What makes a broker differ from the shared one.
#[derive(Default)]
pub struct BrokerOptions {
    /// More lines for server.properties; the last word on a setting counts.
    pub conf: Vec<String>,
    /// The Java machine's options for memory and speed; none: a small one that starts quickly.
    pub machine: Vec<String>,
    /// Listeners beside the plain one: `NAME://127.0.0.1:port`. Which protocol a name stands for is said in `conf`.
    pub listeners: Vec<String>,
    /// More arguments for formatting its data: users.
    pub format: Vec<String>,
    /// It is node 2 of this one's cluster.
    pub beside: Option<Arc<Broker>>,
}

/// A running broker; it ends when the value does. Topics are not created by being used.
pub struct Broker {
    /// On 127.0.0.1.
    pub port: u16,
    controller: u16,
    folder: PathBuf,
    machine: Vec<String>,
    process: Mutex<Option<Process>>,
}

/// What a topic holds; keys, values and headers here are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it is.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// None: it has none.
    pub key: Option<String>,
    /// None: a tombstone.
    pub value: Option<String>,
    /// One without a value is "".
    pub headers: BTreeMap<String, String>,
}

/// Whose messages a reader sees.
#[derive(Clone, Copy)]
enum Isolation {
    /// Also those of transactions that are open or were aborted.
    Uncommitted,
    /// Only those of committed transactions, and those outside of any.
    Committed,
}

impl Broker {
    /// The one shared by the tests of this process.
    pub fn shared() -> &'static Arc<Broker> {
        static SHARED: OnceLock<Arc<Broker>> = OnceLock::new();
        SHARED.get_or_init(|| Broker::start(&BrokerOptions::default()))
    }

    /// Makes one of its own, to be stopped and killed.
    pub fn start(options: &BrokerOptions) -> Arc<Broker> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let folder = home().folder.join(format!("kafka-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let small = || SMALL.map(str::to_owned).to_vec();
        let machine = if options.machine.is_empty() { small() } else { options.machine.clone() };
        let controller = options.beside.as_ref().map_or_else(free_port, |first| first.controller);
        let broker = Broker { port: free_port(), controller, folder, machine, process: Mutex::default() };
        broker.initialise(options);
        broker.start_again();
        Arc::new(broker)
    }

    fn initialise(&self, options: &BrokerOptions) {
        let jars = &home().kafka;
        assert!(jars.exists(), "no Kafka in {}: tests/setup.sh could not fetch it", jars.display());
        fs::create_dir(&self.folder)
            .unwrap_or_else(|error| panic!("make {}: {error}", self.folder.display()));
        let (port, controller) = (self.port, self.controller);
        let (roles, node, controls) = match options.beside {
            None => ("broker,controller", 1, format!(",CONTROLLER://127.0.0.1:{controller}")),
            Some(_) => ("broker", 2, String::new()),
        };
        let listeners =
            [&[format!("PLAINTEXT://127.0.0.1:{port}")], &options.listeners[..]].concat().join(",");
        let mut conf = vec![
            format!("process.roles={roles}"),
            format!("node.id={node}"),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            format!("listeners={listeners}{controls}"),
            format!("advertised.listeners={listeners}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            "controller.listener.names=CONTROLLER".to_owned(),
            "inter.broker.listener.name=PLAINTEXT".to_owned(),
            "log.dirs=data".to_owned(),
            "offsets.topic.replication.factor=1".to_owned(),
            "offsets.topic.num.partitions=4".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "transaction.state.log.num.partitions=4".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            // Members that were killed are missed soon.
            "group.min.session.timeout.ms=500".to_owned(),
            "auto.create.topics.enable=false".to_owned(),
            // After a kill the controller takes the new broker for a second one, until the first is overdue.
            "broker.session.timeout.ms=3000".to_owned(),
            "broker.heartbeat.interval.ms=500".to_owned(),
        ];
        conf.extend_from_slice(&options.conf);
        let write = |name: &str, content: &str| {
            fs::write(self.folder.join(name), content)
                .unwrap_or_else(|error| panic!("write {name}: {error}"));
        };
        write("server.properties", &(conf.join("\n") + "\n"));
        write("log4j.properties", LOG4J);
        let format = ["format", "-t", CLUSTER, "-c", "server.properties"];
        run_checked(self.java("kafka.tools.StorageTool").args(format).args(&options.format));
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(&self.machine).args(MACHINE).arg(format!("-Djava.io.tmpdir={}", self.folder.display()));
        command.arg("-cp").arg(home().kafka.join("*")).arg(class);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Starts one that was stopped or killed, on the same port and data, and waits until it serves.
    #[track_caller]
    pub fn start_again(&self) {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "the broker runs already");
        let log =
            File::options().create(true).append(true).open(self.log_file()).expect("open a broker's log");
        let error = log.try_clone().expect("share a broker's log");
        let before = self.log().len();
        let mut command = self.java("kafka.Kafka");
        let process = Process::spawn_java(command.arg("server.properties").stdout(log).stderr(error));
        wait_for(LONG, || {
            let ended = process.exit_status();
            let log = self.log();
            if log.get(before..).is_some_and(|new| new.contains("Kafka Server started")) {
                return Ok(());
            }
            let from = log.lines().count().saturating_sub(20);
            let last = log.lines().skip(from).collect::<Vec<_>>().join("\n");
            assert!(ended.is_none(), "the broker does not start, {ended:?}; its log ends so:\n{last}");
            Err(format!("the broker has not started; its log ends so:\n{last}"))
        });
        *running = Some(process);
    }

    /// Stops it as an operator does, and waits until it has.
    #[track_caller]
    pub fn stop(&self) {
        let process = self.take_process();
        process.signal(Signal::TERM);
        process.wait("the broker", LONG);
    }

    /// From now on none of its files can grow past so many bytes, as on a disk that is full. The next start finds room again.
    #[track_caller]
    pub fn fill_disk(&self, bytes: u64) {
        let running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = running.as_ref().and_then(|process| Pid::from_raw(process.id()));
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(pid, Resource::Fsize, limit).expect("limit a broker's files");
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_given_up(&self) {
        self.take_process().wait("the broker", LONG);
    }

    /// `kill -9`
    #[track_caller]
    pub fn kill(&self) {
        self.take_process().kill();
    }

    /// It stands still (SIGSTOP), with all its connections open, until [`Broker::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().expect("a broker that runs").signal(signal);
    }

    #[track_caller]
    fn take_process(&self) -> Process {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        running.take().expect("a broker that runs")
    }

    /// For clients: `bootstrap.servers`.
    pub fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A name that no other topic of this process has; the topic itself is not made.
    pub fn topic(&self, test_name: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        format!("{test_name}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a topic, and waits until it can be written to.
    #[track_caller]
    pub fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().request_timeout(Some(SOON)).operation_timeout(Some(SOON));
        let made = runtime.block_on(admin.create_topics([&new], &options));
        let made = made.unwrap_or_else(|error| panic!("create topic {topic}: {error}"));
        for one in made {
            one.unwrap_or_else(|(_, code)| panic!("create topic {topic}: {code}"));
        }
        let reader = self.reader(Isolation::Uncommitted);
        let wanted = usize::try_from(partitions).expect("a positive number of partitions");
        wait_for(SOON, || match reader.ends(topic)?.len() {
            seen if seen == wanted => Ok(()),
            seen => Err(format!("topic {topic} has {seen} of {wanted} partitions")),
        });
    }

    /// How many partitions a topic has; 0 when there is none of that name.
    #[track_caller]
    pub fn partitions(&self, topic: &str) -> usize {
        let reader = self.reader(Isolation::Uncommitted);
        wait_for(SOON, || reader.ends(topic)).len()
    }

    /// Waits until a topic holds at least `count` messages, and gives all it holds, as [`Broker::all`] does. The
    /// topic may still have to be made by somebody.
    #[track_caller]
    pub fn messages(&self, topic: &str, count: usize) -> Vec<Message> {
        let reader = self.reader(Isolation::Uncommitted);
        wait_for(LONG, || {
            // Offsets are asked first: that is much cheaper than reading. They count more than messages.
            let held = reader.held(topic)?;
            let few = |held: usize| format!("topic {topic} holds {held} of {count} messages");
            if held < count {
                return Err(few(held));
            }
            let messages = self.all(topic);
            if messages.len() < count {
                return Err(few(messages.len()));
            }
            Ok(messages)
        })
    }

    /// How many offsets a topic holds now, 0 when there is no such topic: its messages, and what transactions leave behind.
    #[track_caller]
    pub fn held(&self, topic: &str) -> usize {
        let reader = self.reader(Isolation::Uncommitted);
        wait_for(SOON, || reader.held(topic))
    }

    /// All that a topic holds now, by partition and offset; nothing when there is no such topic. What transactions
    /// have written counts whether they are committed or not.
    #[track_caller]
    pub fn all(&self, topic: &str) -> Vec<Message> {
        self.reader(Isolation::Uncommitted).read(topic)
    }

    /// The same without what open and aborted transactions have written.
    #[track_caller]
    pub fn all_committed(&self, topic: &str) -> Vec<Message> {
        self.reader(Isolation::Committed).read(topic)
    }

    /// The sum of the offsets that a consumer group has committed for a topic's partitions; 0 before the first.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().expect("a consumer");
        let reader = Reader(consumer);
        wait_for(SOON, || {
            let mut list = TopicPartitionList::new();
            for partition in reader.ends(topic)?.into_keys() {
                list.add_partition(topic, partition);
            }
            let answer = reader.0.committed_offsets(list, ANSWER);
            let answer = answer.map_err(|error| format!("what {group} has committed: {error}"))?;
            let offsets = answer.elements().into_iter().map(|element| match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            });
            Ok(offsets.sum())
        })
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers());
        // A broker that was away is asked again at once.
        config.set("reconnect.backoff.max.ms", "200");
        config
    }

    fn reader(&self, isolation: Isolation) -> Reader {
        let level = match isolation {
            Isolation::Uncommitted => "read_uncommitted",
            Isolation::Committed => "read_committed",
        };
        let mut config = self.config();
        // The group is never joined; a consumer just has to have one.
        config.set("group.id", "pgstream-tests").set("enable.auto.commit", "false");
        config.set("isolation.level", level).set("enable.partition.eof", "true");
        Reader(config.create().expect("a consumer"))
    }
}

struct Reader(BaseConsumer);

impl Reader {
    /// The first offset of each partition and the one after the last; nothing when there is no such topic.
    fn ends(&self, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, String> {
        let failed = |error: KafkaError| format!("topic {topic}: {error}");
        let metadata = self.0.fetch_metadata(Some(topic), ANSWER).map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let ends = partitions.map(|partition| {
            let ends = self.0.fetch_watermarks(topic, partition.id(), ANSWER).map_err(failed)?;
            Ok((partition.id(), ends))
        });
        ends.collect()
    }

    fn held(&self, topic: &str) -> Result<usize, String> {
        let offsets: i64 = self.ends(topic)?.values().map(|(low, high)| high - low).sum();
        Ok(usize::try_from(offsets).unwrap_or_default())
    }

    #[track_caller]
    fn read(&self, topic: &str) -> Vec<Message> {
        let mut open = wait_for(SOON, || self.ends(topic));
        open.retain(|_, (low, high)| low < high);
        let mut list = TopicPartitionList::new();
        for partition in open.keys() {
            list.add_partition_offset(topic, *partition, Offset::Beginning).expect("a place to start from");
        }
        self.0.assign(&list).expect("assign partitions");
        let mut messages = Vec::new();
        let mut complaint = None;
        let start = Instant::now();
        while !open.is_empty() {
            assert!(start.elapsed() < LONG, "after {LONG:?}: {topic} not read to {open:?}: {complaint:?}");
            match self.0.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let high = open.get(&partition).map_or(0, |(_, high)| *high);
                    if offset < high {
                        messages.push(Message::from(&message));
                    }
                    if offset + 1 >= high {
                        open.remove(&partition);
                    }
                }
                // The last offsets may hold no message but the mark that a transaction has ended.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) => complaint = Some(error), // the client goes on by itself
                None => {}
            }
        }
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }
}

impl From<&BorrowedMessage<'_>> for Message {
    fn from(message: &BorrowedMessage<'_>) -> Message {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Message {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(text),
            value: message.payload().map(text),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                .collect(),
        }
    }
}
