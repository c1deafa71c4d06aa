//! Search engines that are away, full, busy or mistrustful: nothing is lost, and what cannot pass is said.

use pgstream_tests::{wait_until, Database, Engine, Node, Options, Server, LONG, SOON};
use serde_json::json;

use crate::flows::search::{indexer, indexer_at, ToIndex};
use crate::flows::{init, slot, table_id};

const TABLE: &str = "create table t (id int primary key, v int)";

/// Waits until the index has a table's rows, and nothing else.
#[track_caller]
fn assert_follows(source: &Database, node: &Node, index: &str) {
    source.wait_confirmed(&slot(source));
    let id = table_id(source, "t");
    let rows = source.rows("select id::text, v::text from t order by id::text collate \"C\"");
    let rows: Vec<(String, String)> = rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let documents: Vec<(String, String)> = node
        .documents(index)
        .into_iter()
        .map(|(key, document)| {
            (key[id.len() + 1..].to_owned(), document.source[format!("{id}-2")].to_string())
        })
        .collect();
    assert_eq!(documents, rows);
}

#[test]
fn an_index_that_is_read_only_for_a_while() {
    let index = ToIndex::start(Engine::OpenSearch, TABLE);
    index.run("insert into t values (1, 1)");
    let block = |on: bool| {
        let settings = json!({ "index.blocks.write": on });
        let (status, answer) =
            index.node.request("PUT", &format!("{}/_settings", index.schema), Some(&settings));
        assert_eq!(status, 200, "{answer}");
    };
    block(true);
    index.source.execute("insert into t values (2, 2)");
    index.sidecar.wait_for_line("blocked", SOON);
    block(false);
    index.settle();
    assert_follows(&index.source, index.node, &index.schema);
}

#[test]
fn an_engine_that_is_away_at_the_start() {
    let source = Database::on_source();
    init(&source);
    let said = indexer_at(&source, Engine::OpenSearch, "http://127.0.0.1:9").finish();
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("ERROR  target: http://127.0.0.1:9: "), "{}", said.stderr);
}

#[test]
fn logins_that_are_right_and_wrong() {
    let node = Node::start(Engine::Elasticsearch, &["xpack.security.enabled: true"]);
    let source = Database::on_source();
    source.execute(TABLE);
    init(&source);
    let run =
        |login: &str| indexer_at(&source, node.engine, &format!("http://{login}127.0.0.1:{}", node.port));
    for login in ["", "elastic:wrong@"] {
        let said = run(login).finish();
        assert_eq!(said.code, Some(1));
        assert!(
            said.stderr.contains("the login is refused") && !said.stderr.contains("wrong@"),
            "{}",
            said.stderr
        );
    }
    let sidecar = run(&format!("{}@", Node::LOGIN)).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute("insert into t values (1, 1), (2, 2)");
    assert_follows(&source, &node, "public");
}

#[test]
fn an_index_that_is_gone_is_made_again() {
    let index = ToIndex::start(Engine::OpenSearch, TABLE);
    index.run("insert into t values (1, 1), (2, 2)");
    assert_eq!(index.node.request("DELETE", &format!("{}-1", index.schema), None).0, 200);
    index.run("insert into t values (3, 3)");
    assert_eq!(index.documents("t").len(), 1);
    index.source.execute(&format!("select pgstream.request_snapshot('{{{}.t}}')", index.schema));
    wait_until("the copy", LONG, || (index.documents("t").len() == 3).then_some(()));
    assert_follows(&index.source, index.node, &index.schema);
}

/// failure-modes: what is still to be copied must outlive a crash.
#[test]
fn a_copy_that_is_due_is_not_forgotten() {
    let server = Server::start("due", &Options::default());
    let (source, node) = (server.database(), Node::shared(Engine::OpenSearch));
    source.execute("create schema due; create table due.t (id int primary key, v int)");
    source.execute(&format!("alter database {} set search_path = due, public", source.name));
    init(&source);
    let mut sidecar = indexer(&source, node).start();
    source.execute("insert into t values (1, 1), (2, 2)");
    assert_follows(&source, node, "due");
    // A copy waits for transactions that are open.
    let mut open = source.session();
    open.execute("begin; select pg_current_xact_id()");
    let before =
        source.value("alter table t alter v type int using v * 10; select pg_current_wal_insert_lsn()");
    let noted = || {
        let note = |id: &String| id.contains(&format!("/{}/", source.name));
        node.documents("pgstream-copies").keys().any(note)
    };
    wait_until("a note of the copy", LONG, || noted().then_some(()));
    let confirmed = format!("select confirmed_flush_lsn > '{before}' from pg_replication_slots");
    wait_until("the position behind it", LONG, || (source.value(&confirmed) == "t").then_some(()));
    sidecar.kill();
    open.execute("rollback");
    source.execute("insert into t values (3, 3)");
    sidecar.start_again();
    sidecar.wait_for_line("copied as requested", LONG);
    assert_follows(&source, node, "due");
    wait_until("no note", SOON, || (!noted()).then_some(()));
    node.request("DELETE", "due-1", None);
}
