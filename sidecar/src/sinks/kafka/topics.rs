//! Topics that are there: looked at, or made, before their first message.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::plan::{KafkaTarget, Topic};
use crate::error::{Error, Result};
use crate::kafka::{Admin, Facts};

/// The topics that messages go to.
pub(super) struct Topics {
    admin: Admin,
    /// The one for everything; others are made like it.
    main: Topic,
    facts: Facts,
    /// Partitions of the others.
    others: HashMap<Arc<str>, i32>,
}

impl Topics {
    /// Finds the topic for everything, or makes it.
    ///
    /// # Errors
    /// Transient when no broker answers; fatal when it is not there and not to be made.
    pub(super) async fn open(target: &KafkaTarget) -> Result<Self> {
        let admin = Admin::new(&target.cluster)?;
        let facts = admin.topic(&target.topic).await?;
        Ok(Self { admin, main: target.topic.clone(), facts, others: HashMap::new() })
    }

    /// Who finds and makes topics of this cluster.
    pub(super) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What the brokers say of the topic for everything.
    pub(super) fn facts(&self) -> Facts {
        self.facts
    }

    /// Name and partitions of a message's topic, which is found or made when it is new.
    ///
    /// # Errors
    /// As [`Topics::open`]; fatal when it takes less at a time than the topic for everything: the client fills batches for that.
    pub(super) async fn at<'a>(&'a mut self, topic: Option<&'a Arc<str>>) -> Result<(&'a str, i32)> {
        let Some(name) = topic else { return Ok((&self.main.name, self.facts.partitions)) };
        if let Some(partitions) = self.others.get(name) {
            return Ok((name, *partitions));
        }
        let wanted = Topic { name: name.to_string(), ..self.main.clone() };
        let found = self.admin.topic(&wanted).await?;
        if let (Some(takes), Some(filled)) = (found.largest, self.facts.largest) {
            if takes < filled {
                return Err(Error::fatal(format!(
                    "topic {name} takes {takes} bytes at a time, {} takes {filled}",
                    self.main.name
                ))
                .hint("give both the same max.message.bytes"));
            }
        }
        self.others.insert(Arc::clone(name), found.partitions);
        Ok((name, found.partitions))
    }
}
