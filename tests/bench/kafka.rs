//! Into a topic of Kafka: `pgstream run`, and Debezium Server where that could be fetched.
//!
//! ```text
//! backlog   WAL of one table, written first ──program──> topic until it holds the last row     rows/s, memory
//! steady    5000 rows a second              ──program──> topic ──> a consumer                  ms, each row
//! ```
//! Both read the same WAL, each from a slot of its own, and write to a topic of one partition of the same broker, with
//! `acks=all`, lz4 and an idempotent producer. A rate is taken from the first rows seen in the topic to the last, so that
//! nobody pays for the start of a Java machine. The rows have about 200 bytes.

mod backlog;
mod program;
mod steady;
mod topic;

use std::sync::Arc;

use pgstream_tests::{Broker, BrokerOptions, Debezium, Server};

use crate::report::Report;

/// All that is measured into Kafka.
pub(crate) fn run(source: &Arc<Server>, scale: f64, report: &mut Report) {
    // More than the tests' broker, which is made to start quickly: here it must not be what is measured.
    let machine = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"].map(str::to_owned).to_vec();
    let broker = Broker::start(&BrokerOptions { machine, ..BrokerOptions::default() });
    let rival = Debezium::available();
    if let Err(why) = &rival {
        report.failure(why.clone());
    }
    backlog::run(source, &broker, scale, rival.is_ok(), report);
    steady::run(source, &broker, scale, rival.is_ok(), report);
}
