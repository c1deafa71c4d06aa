use serde_json::{json, Value as Json};

use super::*;
use crate::event::{self, Lsn, ReplicaIdentity, Timestamp, Transaction, Truncate, Tuple, Value};

fn relation(oid: u32, schema: &str, name: &str, columns: &[&str]) -> Arc<Relation> {
    let column = |name: &&str| event::Column {
        name: (*name).into(),
        type_oid: 25,
        type_name: "text".into(),
        key: false,
    };
    let columns = columns.iter().map(column).collect();
    let (schema, name) = (schema.into(), name.into());
    Arc::new(Relation { oid, schema, name, identity: ReplicaIdentity::Default, columns })
}

/// A column `name` with the number `n`; `!` behind the name: unique and not null; `=`: generated.
fn column(table: &str, n: usize, name: &str) -> Json {
    let unique = name.ends_with('!');
    let generated = name.ends_with('=');
    let name = name.trim_end_matches(['!', '=']);
    json!({"pgstream_id": format!("{table}-{n}"), "name": name, "type": "text", "unique": unique, "nullable": !unique, "generated": generated})
}

/// A table whose columns are numbered from 1; an empty name is one that was dropped.
fn table(oid: u32, id: &str, columns: &[&str], key: &[&str]) -> Json {
    let columns = columns.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let columns: Vec<Json> = columns.map(|(index, name)| column(id, index + 1, name)).collect();
    json!({"oid": oid.to_string(), "pgstream_id": id, "name": "any", "columns": columns, "primary_key_columns": key})
}

fn document(id: &str, tables: &[Json]) -> Document {
    Document {
        id: id.into(),
        schema: "public".into(),
        text: json!({ "tables": tables }).to_string(),
        past: true,
    }
}

fn own(name: &str, values: &[(&str, String)]) -> Event {
    let columns: Vec<&str> = values.iter().map(|(column, _)| *column).collect();
    let new = Tuple::from_values(values.iter().map(|(_, value)| Value::Text(value.as_bytes())));
    let relation = relation(1, "pgstream", name, &columns);
    Event::Change(Change { lsn: Lsn(1), relation, row: RowChange::Insert { new }, ids: None })
}

fn logged(document: Document) -> Event {
    own("schema_log", &[("id", document.id), ("schema_name", document.schema), ("schema", document.text)])
}

fn ddl(tables: &[Json], objects: &[Json]) -> Event {
    own("ddl_log", &[("tables", json!(tables).to_string()), ("objects", json!(objects).to_string())])
}

fn begin() -> Event {
    Event::Begin(Transaction { xid: 1, commit_lsn: Lsn(9), time: Timestamp(0) })
}

fn learn(injector: &mut Injector, events: impl IntoIterator<Item = Event>) {
    injector.learn(&begin()).expect("learned");
    events.into_iter().for_each(|event| injector.learn(&event).expect("learned"));
}

fn ids(injector: &mut Injector, relation: &Arc<Relation>) -> Option<Arc<Ids>> {
    let row = RowChange::Insert { new: Tuple::from_values([]) };
    let mut event = Event::Change(Change { lsn: Lsn(1), relation: Arc::clone(relation), row, ids: None });
    injector.mark(&mut event);
    let Event::Change(change) = event else { panic!("another event") };
    change.ids
}

/// `schema table key: columns`
fn text(injector: &mut Injector, relation: &Arc<Relation>) -> String {
    let Some(ids) = ids(injector, relation) else { return "none".into() };
    let key: Vec<&str> = ids.key.iter().map(|column| &*column.id).collect();
    format!(
        "{} {} {}: {}",
        ids.schema.as_deref().unwrap_or("-"),
        ids.table,
        key.join("+"),
        ids.columns.join(" ")
    )
}

#[test]
fn a_row_has_the_ids_of_the_documents_before_it() {
    let mut injector =
        Injector::new(&[document("v1", &[table(7, "t", &["id", "v"], &["id"])])]).expect("read");
    let before = relation(7, "public", "t", &["id", "v"]);
    assert_eq!(text(&mut injector, &before), "v1 t t-1: t-1 t-2");
    let one = ids(&mut injector, &before).expect("ids");
    assert!(Arc::ptr_eq(&one, &ids(&mut injector, &before).expect("ids")), "made once");

    // Renamed, table and column, with a column more; seen under its old name until the stream describes it anew.
    let changed = table(7, "t", &["id", "name", "x"], &["id"]);
    learn(&mut injector, [ddl(std::slice::from_ref(&changed), &[]), logged(document("v2", &[changed]))]);
    let after = relation(7, "public", "u", &["id", "name", "x"]);
    assert_eq!(text(&mut injector, &after), "v2 t t-1: t-1 t-2 t-3");
}

#[test]
fn what_identifies_a_row() {
    let tables = [
        table(1, "a", &["x", "y", "z"], &["z", "x"]),
        table(2, "b", &["v", "w!"], &[]),
        table(3, "c", &["c1", "c2!", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10!"], &[]),
        table(4, "d", &["v"], &[]),
        table(5, "e", &["made=", "v"], &["made"]),
    ];
    let mut injector = Injector::new(&[document("s", &tables)]).expect("read");
    let mut key = |oid, columns: &[&str]| {
        let ids = ids(&mut injector, &relation(oid, "public", "t", columns)).expect("ids");
        ids.key.iter().map(|column| (column.id.to_string(), column.index)).collect::<Vec<_>>()
    };
    assert_eq!(key(1, &["x", "y", "z"]), [("a-3".into(), Some(2)), ("a-1".into(), Some(0))], "in key order");
    assert_eq!(key(2, &["v", "w"]), [("b-2".into(), Some(1))]);
    let ten: Vec<String> = (1..=10).map(|n| format!("c{n}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    assert_eq!(key(3, &ten), [("c-10".into(), Some(9))], "the first by id as a text");
    assert_eq!(key(4, &["v"]), []);
    assert_eq!(key(5, &["v"]), [("e-1".into(), None)], "a generated column is not in the stream");
}

#[test]
fn what_is_not_known_goes_on_without() {
    let mut injector = Injector::new(&[document("s", &[table(1, "a", &["x"], &[])])]).expect("read");
    assert_eq!(text(&mut injector, &relation(2, "public", "other", &["x"])), "none");
    assert_eq!(text(&mut injector, &relation(1, "public", "t", &["x", "new"])), "s a : a-1 ");
    assert_eq!(text(&mut injector, &relation(1, "moved", "t", &["x"])), "- a : a-1");
    assert_eq!(text(&mut injector, &relation(1, "pgstream", "schema_log", &["x"])), "none");
    let relations = vec![relation(1, "public", "t", &["x"]), relation(2, "public", "other", &["x"])];
    let mut event = Event::Truncate(Truncate {
        lsn: Lsn(1),
        relations,
        restart_identity: false,
        apart: false,
        ids: Vec::new(),
    });
    injector.mark(&mut event);
    let Event::Truncate(truncate) = event else { panic!("another event") };
    assert_eq!(truncate.ids.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_dropped_table_is_forgotten() {
    let mut injector = Injector::new(&[document("s", &[table(1, "a", &["x"], &[])])]).expect("read");
    let objects = [
        json!({"type": "table", "oid": "1", "dropped": true}),
        json!({"type": "type", "oid": 2_u32.to_string()}),
    ];
    learn(&mut injector, [ddl(&[], &objects), logged(document("s2", &[]))]);
    assert!(injector.tables.is_empty());
}

/// Two transactions at the same time: the document that comes last has not seen what the other changed.
#[test]
fn a_document_does_not_take_back_what_a_command_said() {
    let old = table(1, "a", &["x", "y"], &["x"]);
    let mut injector = Injector::new(&[document("s", std::slice::from_ref(&old))]).expect("read");
    // The first makes a column anew and a table, the second makes another table.
    let anew = table(1, "a", &["x", "", "y"], &["y"]);
    let (b, c) = (table(2, "b", &["v"], &[]), table(3, "c", &["v"], &[]));
    let (first, second) =
        (document("first", &[anew.clone(), b.clone()]), document("second", &[old, c.clone()]));
    learn(&mut injector, [ddl(&[anew, b], &[]), logged(first.clone())]);
    learn(&mut injector, [ddl(&[c], &[]), logged(second.clone())]);
    // The same after a restart, from documents alone, even when there is one of later.
    let later = Document { past: false, ..document("later", &[table(1, "a", &["x", "", "", "y"], &[])]) };
    for mut injector in [injector, Injector::new(&[second, first, later]).expect("read")] {
        assert_eq!(text(&mut injector, &relation(1, "public", "t", &["x", "y"])), "second a a-3: a-1 a-3");
        assert_eq!(text(&mut injector, &relation(2, "public", "t", &["v"])), "second b : b-1");
        assert_eq!(text(&mut injector, &relation(3, "public", "t", &["v"])), "second c : c-1");
    }
}

#[test]
fn a_document_without_a_command_is_believed() {
    let old = table(1, "a", &["x", "y"], &["x"]);
    let mut injector = Injector::new(&[document("s", &[old])]).expect("read");
    // Another key, under pgstream.skip_log, and pgstream.refresh_schema().
    learn(&mut injector, [logged(document("refreshed", &[table(1, "a", &["x", "y"], &["y"])]))]);
    assert_eq!(text(&mut injector, &relation(1, "public", "t", &["x", "y"])), "refreshed a a-2: a-1 a-2");
    // Unlogged, and found by the next command on another table: only then do the columns of the stream tell.
    let next = [table(1, "a", &["x", "", "z"], &["x"]), table(2, "b", &["v"], &[])];
    learn(&mut injector, [ddl(&next[1..], &[]), logged(document("next", &next))]);
    assert_eq!(text(&mut injector, &relation(1, "public", "t", &["x", "z"])), "next a a-1: a-1 a-3");
}

#[test]
fn the_first_document_of_a_schema_counts_and_the_others_help_out() {
    let documents = [
        document("start", &[table(1, "a", &["x"], &[])]),
        document("older", &[table(1, "a", &["before"], &[]), table(2, "b", &["v"], &[])]),
        document("newest", &[table(1, "a", &["after"], &[]), table(3, "c", &["v"], &[])]),
    ];
    let mut injector = Injector::new(&documents).expect("read");
    for (oid, column, id) in [(1, "x", "a"), (1, "after", "a"), (2, "v", "b"), (3, "v", "c")] {
        let expected = format!("start {id} : {id}-1");
        assert_eq!(text(&mut injector, &relation(oid, "public", "t", &[column])), expected);
    }
    assert!(injector.warned.is_empty());
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let bad = Document {
        id: "v".into(),
        schema: "s".into(),
        text: r#"{"tables": [{"oid": 7}]}"#.into(),
        past: true,
    };
    assert!(Injector::new(std::slice::from_ref(&bad)).is_err());
    assert!(Injector::default().learn(&logged(bad)).is_err());
    let dropped = Document {
        id: "v".into(),
        schema: "s".into(),
        text: r#"{"tables": null, "dropped": true}"#.into(),
        past: true,
    };
    assert!(Injector::new(&[dropped]).is_ok());
}
