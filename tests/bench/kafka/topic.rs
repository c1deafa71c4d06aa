//! A topic as it fills: how far it is, what its end holds, and when its messages are seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pgstream_tests::{Broker, LONG};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::program::Running;

/// Before a session's number, a colon, and the microseconds at which its commit before this had returned.
pub(super) const TICK: &str = "tick:";
/// A look at the end of a topic costs the broker little, but not nothing.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// No backlog here takes nearly as long.
const DEADLINE: Duration = Duration::from_secs(1800);
/// Messages looked at in search of the last row; behind it there may be marks of transactions.
const END: i64 = 20;

/// A topic of one partition; it goes when the value does.
pub(super) struct Topic {
    /// Its name.
    pub(super) name: String,
    consumer: BaseConsumer,
    admin: AdminClient<DefaultClientContext>,
}

impl Topic {
    /// A new one. What open transactions have written is not seen.
    pub(super) fn new(broker: &Arc<Broker>, name: &str) -> Topic {
        broker.create(name, 1);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.servers()).set("socket.nagle.disable", "true");
        let admin = config.create().expect("an admin client");
        config
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "50");
        Topic { name: name.to_owned(), consumer: config.create().expect("a consumer"), admin }
    }

    /// How many messages have come.
    fn end(&self) -> i64 {
        self.consumer.fetch_watermarks(&self.name, 0, LONG).map_or(0, |(_, high)| high)
    }

    /// Waits for the first messages: when they were seen, and how many.
    pub(super) fn begun(&self, program: &Running) -> (Instant, i64) {
        let start = Instant::now();
        loop {
            let end = self.end();
            if end > 0 {
                return (Instant::now(), end);
            }
            assert!(start.elapsed() < LONG, "nothing comes from {}", program.said());
            program.check();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Rows a second, from the first seen to the last, which is the one that contains `last`.
    pub(super) fn rate(&self, rows: u64, last: &str, program: &Running) -> f64 {
        let (begun, at) = self.begun(program);
        let rows = i64::try_from(rows).expect("a number of rows");
        while self.end() < rows || !self.ends_with(last) {
            assert!(begun.elapsed() < DEADLINE, "the last row does not come from {}", program.said());
            program.check();
            std::thread::sleep(LOOK_EVERY);
        }
        (rows - at) as f64 / begun.elapsed().as_secs_f64()
    }

    fn read_from(&self, offset: Offset) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, 0, offset).expect("a place to read from");
        self.consumer.assign(&list).expect("assign the partition");
    }

    fn ends_with(&self, last: &str) -> bool {
        self.read_from(Offset::Offset((self.end() - END).max(0)));
        let start = Instant::now();
        while start.elapsed() < LONG {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if text(message.payload()).contains(last) => return true,
                Some(Err(KafkaError::PartitionEOF(_))) => return false,
                _ => {}
            }
        }
        panic!("the end of {} cannot be read", self.name)
    }

    /// Reads for `time` and gives the milliseconds from commit to sight of each message; negative, when it is seen sooner.
    pub(super) fn times(&self, time: Duration) -> Vec<f64> {
        self.read_from(Offset::End);
        let (start, mut times) = (Instant::now(), Vec::new());
        // By session, what the transaction in hand tells of the one before, and when its rows were seen.
        let mut seen: HashMap<u32, (f64, Vec<f64>)> = HashMap::new();
        while start.elapsed() < time {
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(50)) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_micros() as f64;
                let (session, before) = ticked(&text(message.payload())).expect("a row with its tick");
                let (told, rows) = seen.entry(session).or_insert((before, Vec::new()));
                if *told != before {
                    times.extend(rows.drain(..).map(|seen| (seen - before) / 1000.0));
                    *told = before;
                }
                rows.push(now);
            }
        }
        times
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // Room for the next; best effort, everything goes with the run.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
            let _ = runtime.block_on(self.admin.delete_topics(&[&self.name], &AdminOptions::new()));
        }
    }
}

fn text(payload: Option<&[u8]>) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(payload.unwrap_or_default())
}

fn ticked(text: &str) -> Option<(u32, f64)> {
    let (_, rest) = text.split_once(TICK)?;
    let (session, rest) = rest.split_once(':')?;
    let micros = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((session.parse().ok()?, micros.parse().ok()?))
}
