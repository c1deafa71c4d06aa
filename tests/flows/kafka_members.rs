//! Members of a group that come and go, and where a group begins.

use std::collections::BTreeMap;

use pgstream_tests::{wait_until, Broker, Database, Sidecar, LONG};

use super::init;
use super::kafka::writer;

const PARTITIONS: i32 = 4;
const TABLES: usize = 8;

fn member(topic: &str, group: &str, target: &[&str]) -> Sidecar {
    Sidecar::new(["run", "--source", "kafka"].iter().chain(target))
        .env("PGSTREAM_KAFKA_READER_SERVERS", &Broker::shared().servers())
        .env("PGSTREAM_KAFKA_TOPIC_NAME", topic)
        .env("PGSTREAM_KAFKA_READER_CONSUMER_GROUP_ID", group)
}

/// The numbers a member has printed, by table, in its order.
fn printed(member: &Sidecar) -> BTreeMap<String, Vec<i64>> {
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let output = member.stdout();
    let lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    for line in lines {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if let (Some(table), Some(number)) = (event["table"].as_str(), event["columns"][0]["value"].as_i64())
        {
            all.entry(table.to_owned()).or_default().push(number);
        }
    }
    all
}

/// Whether a member has printed any row at all since it was asked last.
fn has_rows(member: &Sidecar) -> Option<()> {
    (!printed(member).is_empty()).then_some(())
}

/// Under load a second member joins, and the first one goes. Lines: none is lost, none out of its key's order. Rows: none lost, none twice.
#[test]
fn members_that_come_and_go_under_load() {
    let (source, target) = (Database::on_source(), Database::on_target());
    for table in 0..TABLES {
        let create = format!("create table t{table} (n bigint)");
        source.execute(&create);
        target.execute(&create);
    }
    init(&source);
    let topic = Broker::shared().topic("members");
    Broker::shared().create(&topic, PARTITIONS);
    let writer =
        writer(&source, Broker::shared(), &topic).env("PGSTREAM_KAFKA_TOPIC_PARTITION_KEY", "table").start();
    writer.wait_for_line("streaming", LONG);
    let (lines, rows) = (format!("{topic}-lines"), format!("{topic}-rows"));
    let printer = || member(&topic, &lines, &["--target", "stdout"]).start();
    let url = target.url();
    let filler = || member(&topic, &rows, &["--target", "postgres", "--target-url", &url]).start();

    let mut session = source.session();
    let mut last = 0;
    let mut write = |count: i64| {
        for table in 0..TABLES {
            session.execute(&format!(
                "insert into t{table} select generate_series({} , {})",
                last + 1,
                last + count
            ));
        }
        last += count;
        last
    };
    let (first, first_filler) = (printer(), filler());
    write(300);
    wait_until("lines of the first", LONG, || has_rows(&first));
    let (second, second_filler) = (printer(), filler());
    write(300);
    for joined in [&second, &second_filler] {
        joined.wait_for_line("partitions given to this process", LONG);
    }
    write(300);
    wait_until("lines of the second", LONG, || has_rows(&second));
    assert_eq!(first.stop().code(), Some(0), "{}", first.stderr());
    first_filler.kill();
    let last = write(300);

    let sum =
        (0..TABLES).map(|table| format!("(select count(*) from t{table})")).collect::<Vec<_>>().join(" + ");
    let wanted = i64::try_from(TABLES).expect("a few") * last;
    let mut session = target.session();
    wait_until("all rows", LONG, || {
        assert!(second_filler.process().exit_status().is_none(), "{}", second_filler.stderr());
        session.holds(&format!("{sum} >= {wanted}")).then_some(())
    });
    for table in 0..TABLES {
        let seen = format!("select count(*) || ' ' || count(distinct n) from t{table}");
        assert_eq!(session.value(&seen), format!("{last} {last}"), "t{table}");
        let name = format!("t{table}");
        wait_until("all lines", LONG, || {
            let mut all: Vec<i64> = [&first, &second]
                .iter()
                .flat_map(|one| printed(one).remove(&name).unwrap_or_default())
                .collect();
            all.sort_unstable();
            all.dedup();
            all.into_iter().eq(1..=last).then_some(())
        });
    }
    for one in [&first, &second] {
        for (table, numbers) in printed(one) {
            // What comes twice comes in order: a step back begins a stretch that was read before.
            let in_order = numbers.windows(2).all(|pair| pair[1] <= pair[0] + 1);
            assert!(in_order, "{table}: {numbers:?}");
        }
    }
}

/// A new group begins with the oldest message, or with what comes from then on.
#[test]
fn earliest_and_latest() {
    let source = Database::on_source();
    source.execute("create table t (n bigint)");
    init(&source);
    let topic = Broker::shared().topic("begin");
    let writer = writer(&source, Broker::shared(), &topic).start();
    writer.wait_for_line("streaming", LONG);
    source.execute("insert into t values (-1)");
    source.wait_confirmed(&super::slot(&source));
    let start = |offset: &str| {
        member(&topic, &format!("{topic}-{offset}"), &["--target", "stdout"])
            .env("PGSTREAM_KAFKA_READER_CONSUMER_GROUP_START_OFFSET", offset)
            .start()
    };
    let (earliest, latest) = (start("earliest"), start("latest"));
    for reader in [&earliest, &latest] {
        reader.wait_for_line("partitions given to this process", LONG);
    }
    // Where the end is, is asked after that: until one arrives.
    let mut session = source.session();
    wait_until("a row that came later", LONG, || {
        session.execute("insert into t values (1)");
        has_rows(&latest)
    });
    wait_until("the oldest row", LONG, || has_rows(&earliest));
    assert_eq!(printed(&earliest)["t"][0], -1);
    assert!(!printed(&latest)["t"].contains(&-1), "{}", latest.stdout());
}
