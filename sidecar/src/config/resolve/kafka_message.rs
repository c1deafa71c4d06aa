//! What the messages of a topic look like, and whose topic they go to.

use crate::config::plan::{DebeziumForm, Decimals, KafkaFormat, PartitionKey};
use crate::config::topic_template::TopicTemplate;
use crate::config::Settings;

impl Settings {
    /// The form of messages.
    pub(super) fn kafka_format(&self, problems: &mut Vec<String>) -> KafkaFormat {
        let format = self.text("target.kafka.format");
        if format == Some("debezium") {
            if matches!(self.text("target.kafka.topic.partition_key"), Some("schema" | "table")) {
                let origin = self.origin("target.kafka.topic.partition_key");
                problems.push(format!(
                    "{origin}: with format debezium a message's key is the primary key of its row"
                ));
            }
            let name = self.text("target.kafka.debezium.name").map(str::to_owned);
            return KafkaFormat::Debezium(DebeziumForm {
                name: name.unwrap_or_else(|| self.kafka_topic("target")),
                decimals: match self.text("target.kafka.debezium.decimal") {
                    Some("string") => Decimals::String,
                    Some("double") => Decimals::Double,
                    _ => Decimals::Precise,
                },
            });
        }
        for key in ["target.kafka.debezium.name", "target.kafka.debezium.decimal"] {
            if self.value(key).is_some() {
                problems.push(format!("{}: only with target.kafka.format debezium", self.origin(key)));
            }
        }
        match format {
            Some("cloudevents") => KafkaFormat::CloudEvents,
            _ => KafkaFormat::Json,
        }
    }

    /// Whether a delete is followed by a message without a value.
    pub(super) fn kafka_tombstones(
        &self,
        format: &KafkaFormat,
        key: PartitionKey,
        problems: &mut Vec<String>,
    ) -> bool {
        let debezium = matches!(format, KafkaFormat::Debezium(_));
        let tombstones = self.flag("target.kafka.tombstones").unwrap_or(debezium);
        if tombstones && !debezium && key != PartitionKey::PrimaryKey {
            let origin = self.origin("target.kafka.tombstones");
            problems.push(format!(
                "{origin}: only with topic.partition_key primary_key: any other key is that of many rows"
            ));
        }
        tombstones
    }

    /// The topics of tables.
    pub(super) fn kafka_tables(&self, problems: &mut Vec<String>) -> Option<TopicTemplate> {
        let key = "target.kafka.topic.tables";
        match TopicTemplate::parse(self.text(key)?) {
            Ok(template) => Some(template),
            Err(error) => {
                problems.push(format!("{}: {error}", self.origin(key)));
                None
            }
        }
    }
}
