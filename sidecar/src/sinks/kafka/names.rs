//! Names of tables' topics, each made once. Sans-I/O.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::topic_template::TopicTemplate;
use crate::event::Relation;

/// The topic of each table that has come.
pub(super) struct Names {
    template: Option<TopicTemplate>,
    /// By the table's oid, with the description that the name was made from: another one may say another name.
    known: HashMap<u32, (Arc<Relation>, Arc<str>)>,
}

impl Names {
    /// `None`: tables have no topics of their own.
    pub(super) fn new(template: Option<TopicTemplate>) -> Self {
        Self { template, known: HashMap::new() }
    }

    /// The topic of that table, if it has one.
    pub(super) fn of(&mut self, relation: &Arc<Relation>) -> Option<Arc<str>> {
        let template = self.template.as_ref()?;
        if let Some((known, name)) = self.known.get(&relation.oid) {
            if Arc::ptr_eq(known, relation)
                || (&known.schema, &known.name) == (&relation.schema, &relation.name)
            {
                return Some(Arc::clone(name));
            }
        }
        let made = template.name(&relation.schema, &relation.name);
        if made.changed {
            let topic = &made.name;
            tracing::warn!(table = %relation, topic, "Kafka takes no such name as the template makes of this table: another table may share its topic");
        }
        let name: Arc<str> = made.name.into();
        self.known.insert(relation.oid, (Arc::clone(relation), Arc::clone(&name)));
        Some(name)
    }
}
