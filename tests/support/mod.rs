//! Real servers and the real sidecar, for tests, demo and benches.
//!
//! ```no_run
//! use pgstream_tests::{Database, Sidecar};
//!
//! let (source, target) = (Database::on_source(), Database::on_target());
//! source.execute("create table t (id int primary key)");
//! let sidecar = Sidecar::new(["status", "--postgres-url", &source.url()]).start();
//! sidecar.wait_for_line("Source status", pgstream_tests::SOON);
//! ```
//!
//! Everything is found or made by `tests/setup.sh`, which the first use runs. Everything here panics with a
//! sentence when it cannot go on: a test has nothing better to do. What was started ends with the process that
//! started it, however that ends (see [`run`]).

mod certificates;
mod compare;
mod database;
mod debezium;
mod kafka;
mod run;
mod search;
mod secured;
mod server;
mod sidecar;
mod topics;
mod wait;
mod walsender;

pub use compare::{assert_same, difference, row_sums, schema, sequences};
pub use database::{Database, Session};
pub use debezium::Debezium;
pub use kafka::{Broker, BrokerOptions, Message};
pub use run::{home, Home, Process};
pub use rustix::process::Signal;
pub use search::{Document, Engine, Node};
pub use secured::{Door, Secured};
pub use server::{Auth, Options, Server, Stop};
pub use sidecar::{Finished, Sidecar};
pub use wait::{is_long, sample, wait_for, wait_until, LONG, SOON};
pub use walsender::{Sent, Walsender};
