//! How fast a backlog is worked off.

use std::sync::Arc;

use pgstream_tests::{Broker, Server};

use super::program::{self, Aim, Running};
use super::topic::Topic;
use crate::report::{Better, Line, Report};
use crate::workload::{init, init_native, median, write_events, EVENTS, LAST};

/// What the rounds of one program gave: rows a second each, and the most memory of all.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    memory: u64,
}

impl Rounds {
    fn add(&mut self, name: &str, topic: &Topic, rows: u64, running: Running) {
        let rate = topic.rate(rows, LAST, &running);
        eprintln!("bench:   {name}: {rate:.0} rows/s");
        self.rates.push(rate);
        self.memory = self.memory.max(running.memory());
        running.stop();
    }

    fn median(&self) -> Option<f64> {
        (!self.rates.is_empty()).then(|| median(self.rates.clone()))
    }
}

/// The programs take turns, each round on slots of its own.
pub(super) fn run(source: &Arc<Server>, broker: &Arc<Broker>, scale: f64, rival: bool, report: &mut Report) {
    let transactions = ((30_000.0 * scale) as u64).max(100);
    let (rows, rounds) = (transactions * 100, if scale < 1.0 { 1 } else { 3 });
    let database = source.database();
    eprintln!("bench: Kafka, a backlog of {:.1}M rows, {rounds} rounds ...", rows as f64 / 1e6);
    database.execute(EVENTS);
    let slots: Vec<String> = (0..rounds).map(|n| format!("{}_{n}", database.name)).collect();
    for slot in &slots {
        init(&database, slot);
        init(&database, &format!("{slot}_once"));
    }
    let native = format!("{}_native", database.name);
    init_native(&database, &native);
    let warm = format!("{}_warm", database.name);
    init(&database, &warm);
    write_events(&database, transactions);

    // The broker's Java machine translates itself while it works: whoever came first would pay for it.
    let topic = Topic::new(broker, &warm);
    Rounds::default().add(
        "to warm up",
        &topic,
        rows,
        program::pgstream(&database, &warm, broker, &topic.name),
    );

    let [mut ours, mut once, mut theirs] = <[Rounds; 3]>::default();
    for slot in &slots {
        let topic = Topic::new(broker, slot);
        ours.add("pgstream", &topic, rows, program::pgstream(&database, slot, broker, &topic.name));
        let slot_once = format!("{slot}_once");
        let topic = Topic::new(broker, &slot_once);
        let running = program::exactly_once(&database, &slot_once, broker, &topic.name);
        once.add("pgstream, exactly once", &topic, rows, running);
        if rival {
            let copy = format!("{slot}_copy");
            database.execute(&format!("select pg_copy_logical_replication_slot('{native}', '{copy}')"));
            let topic = Topic::new(broker, &format!("{slot}.public.events"));
            let running = program::debezium(&database, &copy, broker, &topic.name, Aim::Rate);
            theirs.add("Debezium Server", &topic, rows, running);
        }
    }
    tell(&ours, &once, &theirs, report);
}

fn tell(ours: &Rounds, once: &Rounds, theirs: &Rounds, report: &mut Report) {
    let mut line = |what: &str, ours: &Rounds, theirs: &Rounds| {
        let (ours, theirs) = (ours.median(), theirs.median());
        report.line(Line { what: what.to_owned(), ours, theirs, unit: "rows/s", better: Better::More });
    };
    line("-> Kafka, Debezium Server", ours, theirs);
    if !once.rates.is_empty() {
        line("-> Kafka, exactly once, at least once", once, ours);
    }
    for (name, rounds) in [("", ours), (", exactly once", once), (", Debezium Server", theirs)] {
        if rounds.memory > 0 {
            report.memory(format!("at most, -> Kafka{name}"), rounds.memory);
        }
    }
}
