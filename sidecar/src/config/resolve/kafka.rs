//! A Kafka cluster and its topic.

use std::time::Duration;

use crate::config::plan::{
    ExactlyOnce, KafkaCluster, KafkaFormat, KafkaLogin, KafkaSource, KafkaTarget, KafkaTls, PartitionKey,
    StartOffset, Target, Topic,
};
use crate::config::Settings;

/// The topic where none is named.
const TOPIC: &str = "pgstream";

/// The topic of positions where none is named.
const POSITIONS: &str = "pgstream_positions";

/// The session of a group's member where none is given.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// What brokers allow at most, if nobody has changed it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Settings {
    /// The topic to read, and our group: where none is named, one for each kind of target, so that two of them do not share the messages.
    pub(super) fn kafka_source(
        &self,
        target: Option<&Target>,
        problems: &mut Vec<String>,
    ) -> Option<KafkaSource> {
        let group = |rest: &str| self.text(&format!("source.kafka.consumer_group.{rest}"));
        Some(KafkaSource {
            cluster: self.kafka_cluster("source", problems)?,
            topic: self.kafka_topic("source"),
            dead_letters: self.text("source.kafka.topic.dead_letters").map(str::to_owned),
            group: group("id").map_or_else(
                || format!("pgstream-{}-consumer-group", target.map_or("stdout", Target::name)),
                str::to_owned,
            ),
            session_timeout: self
                .duration("source.kafka.consumer_group.session_timeout")
                .unwrap_or(SESSION_TIMEOUT),
            start: match group("start_offset") {
                Some("latest") => StartOffset::Latest,
                _ => StartOffset::Earliest,
            },
        })
    }

    /// The topic to write to.
    pub(super) fn kafka_target(&self, problems: &mut Vec<String>) -> Option<KafkaTarget> {
        let count = |key: &str, problems: &mut Vec<String>| match self.number(key).map(u16::try_from) {
            None | Some(Ok(0)) => 1,
            Some(Ok(number)) => number,
            Some(Err(_)) => {
                problems.push(format!("{}: at most {}", self.origin(key), u16::MAX));
                1
            }
        };
        let key = match self.text("target.kafka.topic.partition_key") {
            Some("table") => PartitionKey::Table,
            Some("primary_key") => PartitionKey::PrimaryKey,
            _ => PartitionKey::Schema,
        };
        let format = self.kafka_format(problems);
        let key = if matches!(format, KafkaFormat::Debezium(_)) { PartitionKey::PrimaryKey } else { key };
        Some(KafkaTarget {
            cluster: self.kafka_cluster("target", problems)?,
            topic: Topic {
                name: self.kafka_topic("target"),
                partitions: count("target.kafka.topic.partitions", problems),
                replication_factor: count("target.kafka.topic.replication_factor", problems),
                auto_create: self
                    .flag("target.kafka.topic.auto_create")
                    .unwrap_or(self.chosen.target == Some("kafka")),
                compacted: false,
            },
            tables: self.kafka_tables(problems),
            key,
            tombstones: self.kafka_tombstones(&format, key, problems),
            format,
            transaction_metadata: self.flag("target.kafka.transaction_metadata") == Some(true),
            dead_letters: self.text("target.kafka.topic.dead_letters").map(str::to_owned),
            exactly_once: self.exactly_once(),
            compression: self.text("target.kafka.compression").unwrap_or("lz4").to_owned(),
        })
    }

    fn exactly_once(&self) -> Option<ExactlyOnce> {
        (self.flag("target.kafka.exactly_once") == Some(true)).then(|| ExactlyOnce {
            positions: self.text("target.kafka.topic.positions").unwrap_or(POSITIONS).to_owned(),
            timeout: self.duration("target.kafka.transaction_timeout").unwrap_or(TRANSACTION_TIMEOUT),
        })
    }

    /// The topic's name at that side.
    pub(super) fn kafka_topic(&self, side: &str) -> String {
        self.text(&format!("{side}.kafka.topic.name")).unwrap_or(TOPIC).to_owned()
    }

    /// The cluster of that side (`source` or `target`).
    pub(super) fn kafka_cluster(&self, side: &str, problems: &mut Vec<String>) -> Option<KafkaCluster> {
        let key = |rest: &str| format!("{side}.kafka.{rest}");
        let text = |rest: &str| self.text(&key(rest)).map(str::to_owned);
        let servers = self.list(&key("servers"));
        if servers.is_empty() {
            problems.push(format!("--{side} kafka: no brokers: give --{side}-url, {side}.kafka.servers or PGSTREAM_KAFKA_SERVERS"));
            return None;
        }
        let client = self.pair(&key("tls.client_cert"), &key("tls.client_key"), problems);
        let tls = KafkaTls { ca_cert: text("tls.ca_cert"), client };
        self.readable(&[&key("tls.ca_cert"), &key("tls.client_cert"), &key("tls.client_key")], problems);
        let given = tls.ca_cert.is_some() || tls.client.is_some();
        let tls = self.flag(&key("tls.enabled")).unwrap_or(given).then_some(tls);
        let login = self.kafka_login(side, problems);
        Some(KafkaCluster { servers, tls, login })
    }

    /// How we log in at that side. Half a login is a mistake: nobody means to be let in as nobody.
    fn kafka_login(&self, side: &str, problems: &mut Vec<String>) -> Option<KafkaLogin> {
        let key = |rest: &str| format!("{side}.kafka.sasl.{rest}");
        let text = |rest: &str| self.text(&key(rest)).filter(|text| !text.is_empty()).map(str::to_owned);
        let [mechanism, user, password, file] = ["mechanism", "username", "password", "token_file"].map(text);
        let bearer = mechanism.as_deref() == Some("OAUTHBEARER");
        match (user, password, file) {
            (None, None, None) if mechanism.is_none() => {}
            (Some(user), Some(password), None) if !bearer => {
                let mechanism = mechanism.unwrap_or_else(|| "SCRAM-SHA-512".to_owned());
                return Some(KafkaLogin::Password { mechanism, user, password: password.into() });
            }
            (None, None, Some(file)) if bearer || mechanism.is_none() => {
                self.readable(&[&key("token_file")], problems);
                return Some(KafkaLogin::Token { file });
            }
            (_, _, Some(_)) => problems.push(format!(
                "{}: a token is for OAUTHBEARER, and stands alone: no other mechanism, user or password",
                self.origin(&key("token_file"))
            )),
            (None, None, None) if !bearer => problems.push(format!(
                "{}: give {} and {} as well",
                self.origin(&key("mechanism")),
                key("username"),
                key("password")
            )),
            _ if bearer => problems.push(format!(
                "{}: OAUTHBEARER takes a token, not a user: give {}",
                self.origin(&key("mechanism")),
                key("token_file")
            )),
            _ => problems.push(format!("{side}.kafka.sasl: a user and a password belong together")),
        }
        None
    }
}
