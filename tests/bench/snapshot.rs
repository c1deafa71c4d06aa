//! A copy of all that is there: `pgstream snapshot`, `pgcopydb clone`, and `pg_dump` followed by `pg_restore`.
//!
//! ```text
//! source, filled once ──program──> a new database at the target ──> compared with the source, dropped
//!                     └─ the clock ┘
//! ```
//! All copy the same rows in the same run, in turns, each round in another order. Before each copy the target
//! writes out what is dirty, so that nobody pays for another's pages; before the first, one copy that does not
//! count warms the caches and makes the files of the WAL. The copies are checked outside of the time.
//! `pgcopydb clone` also vacuums and analyzes what it copied; its version 0.10 cannot leave that out. Ours analyzes as well: `pg_restore` is
//! reported by itself and with `vacuumdb --analyze-only -j2` behind it.

mod data;
mod programs;

use std::sync::Arc;
use std::time::Instant;

use pgstream_tests::{Database, Server};

use self::data::{Content, Data};
use self::programs::{Cost, Program};
use crate::report::{Better, Line, Report};
use crate::workload::median;

/// What all rounds of one program gave.
type Costs = Result<Vec<Cost>, String>;

/// Copies two databases of different kinds. Says whether ours never failed.
pub(crate) fn run(source: &Arc<Server>, target: &Arc<Server>, scale: f64, report: &mut Report) -> bool {
    let programs = Program::all();
    let mut whole = true;
    for data in [Data::accounts(scale), Data::mixed(scale)] {
        let costs = copies(source, target, &data, &programs);
        whole &= costs[0].is_ok();
        tell(&data, &programs, &costs, report);
    }
    whole
}

/// Every program's rounds on one database. A program that failed is not tried again.
fn copies(source: &Arc<Server>, target: &Arc<Server>, data: &Data, programs: &[Program; 3]) -> [Costs; 3] {
    let database = source.database();
    let start = Instant::now();
    data.fill(&database);
    let size = database.value("select pg_size_pretty(pg_database_size(current_database()))");
    eprintln!("bench: copy, {}: {size}, made in {:.0} s", data.name, start.elapsed().as_secs_f64());
    let content = Content::of(&database);
    if let Err(error) = copy(&programs[2], &database, target, &content) {
        eprintln!("bench: the copy that does not count failed: {error}");
    }
    let mut costs: [Costs; 3] = [const { Ok(Vec::new()) }; 3];
    for round in 0..data.rounds {
        for turn in 0..programs.len() {
            let at = (round + turn) % programs.len();
            if let Ok(so_far) = &mut costs[at] {
                match copy(&programs[at], &database, target, &content) {
                    Ok(cost) => so_far.push(cost),
                    Err(error) => {
                        eprintln!("bench:   {}: failed: {error}", programs[at].name);
                        costs[at] = Err(error);
                    }
                }
            }
        }
    }
    costs
}

/// One copy into a new database; one that is not whole has failed.
fn copy(
    program: &Program,
    source: &Database,
    target: &Arc<Server>,
    content: &Content,
) -> Result<Cost, String> {
    let copy = target.database();
    copy.execute("checkpoint");
    let cost = program.copy(source, &copy)?;
    eprintln!("bench:   {} {:.2} s", program.name, cost.seconds);
    match content.difference(&Content::of(&copy)) {
        None => Ok(cost),
        Some(difference) => Err(format!("its copy is not the same: {difference}")),
    }
}

/// The lines of the report: ours against each of the others.
fn tell(data: &Data, programs: &[Program; 3], costs: &[Costs; 3], report: &mut Report) {
    let middle = |costs: &Costs, seconds: fn(&Cost) -> f64| {
        costs.as_ref().ok().map(|costs| median(costs.iter().map(seconds).collect()))
    };
    let mut line = |name: &str, theirs: &Costs, seconds: fn(&Cost) -> f64| {
        let what = format!("copy, {}, {name}", data.name);
        let (ours, theirs) = (middle(&costs[0], |cost| cost.seconds), middle(theirs, seconds));
        report.line(Line { what, ours, theirs, unit: "s", better: Better::Less });
    };
    for (program, theirs) in programs.iter().zip(costs).skip(1) {
        line(&program.name, theirs, |cost| cost.seconds);
    }
    line("the same + vacuumdb", &costs[2], |cost| cost.analyzed);
    if let Some(most) = costs[0].iter().flatten().map(|cost| cost.memory).max() {
        report.memory(format!("at most, copy, {}", data.name), most);
    }
    for (program, costs) in programs.iter().zip(costs) {
        if let Err(error) = costs {
            report.failure(format!("{}: failed on {}: {error}", program.name, data.name));
        }
    }
}
