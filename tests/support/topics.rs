//! Topics as their administrator sees them: where they are, and how they go.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::runtime::{Builder, Runtime};

use crate::{wait_until, Broker, LONG, SOON};

/// A client and what its answers are waited for with.
struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    options: AdminOptions,
}

impl Admin {
    fn of(broker: &Broker) -> Admin {
        Admin {
            client: broker.config().create().expect("an admin client"),
            runtime: Builder::new_current_thread().build().expect("a runtime"),
            options: AdminOptions::new().request_timeout(Some(SOON)).operation_timeout(Some(SOON)),
        }
    }
}

impl Broker {
    /// Makes a topic of one partition that is at that node of the cluster and nowhere else.
    #[track_caller]
    pub fn create_at(&self, topic: &str, node: i32) {
        let admin = Admin::of(self);
        let place: &[&[i32]] = &[&[node]];
        let new = NewTopic::new(topic, 1, TopicReplication::Variable(place));
        let made = admin.runtime.block_on(admin.client.create_topics([&new], &admin.options));
        for one in made.unwrap_or_else(|error| panic!("create topic {topic}: {error}")) {
            one.unwrap_or_else(|(_, code)| panic!("create topic {topic}: {code}"));
        }
    }

    /// Deletes a topic.
    #[track_caller]
    pub fn delete(&self, topic: &str) {
        let admin = Admin::of(self);
        let done = admin.runtime.block_on(admin.client.delete_topics(&[topic], &admin.options));
        for one in done.unwrap_or_else(|error| panic!("delete topic {topic}: {error}")) {
            one.unwrap_or_else(|(_, code)| panic!("delete topic {topic}: {code}"));
        }
    }

    /// Waits until the brokers know that nobody leads the first partition of a topic.
    #[track_caller]
    pub fn wait_leaderless(&self, topic: &str) {
        let admin = Admin::of(self);
        wait_until(&format!("topic {topic} has no leader"), LONG, || {
            let seen = admin.client.inner().fetch_metadata(Some(topic), SOON).ok()?;
            let partition = seen.topics().first()?.partitions().first()?;
            (partition.leader() < 0).then_some(())
        });
    }
}
