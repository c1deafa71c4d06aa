//! The choice of entries, on archives drawn by hand.

use super::*;

/// `id kind schema tag needs..`; the oid is the id. Relations are of class `pg_class`, the others of a class of their own.
fn items(lines: &str) -> Vec<Item> {
    let item = |line: &str| {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_default().replace('-', " ");
        let (id, kind, schema, tag) = (word().parse().unwrap(), word(), word(), word());
        let relation = kinds::is_table(&kind) || ["VIEW", "SEQUENCE", "INDEX"].contains(&kind.as_str());
        Item {
            id,
            class: if relation { RELATION } else { 7 },
            oid: id,
            kind,
            schema: schema.replace('.', ""),
            tag,
            needs: words.map(|id| id.parse().unwrap()).collect(),
            ..Item::default()
        }
    };
    lines.trim().lines().map(item).collect()
}

/// An archive with the usual entanglements. 1 = schema a, 2 = schema b, 10 = a.t, 11 = b.u.
fn shop() -> (Vec<Item>, Catalog) {
    let items = items(
        "1 SCHEMA . a
         2 SCHEMA . b
         3 EXTENSION . hstore 2
         4 TYPE b mood 2
         10 TABLE a t 1 4 3
         11 TABLE b u 2
         12 SEQUENCE a t_seq 1 10
         13 SEQUENCE-OWNED-BY a t_seq 12
         14 VIEW a v 1 10 11
         15 FUNCTION a f() 1
         20 CONSTRAINT a t-pk 10
         21 CONSTRAINT b u-pk 11
         22 FK-CONSTRAINT a t-fk 10 11 21
         23 TRIGGER a t-tr 10 15
         24 COMMENT a TABLE-t 10
         25 COMMENT b TYPE-mood 4
         26 USER-MAPPING . m",
    );
    let mut catalog = Catalog::default();
    catalog.of.extend([((7, 20), 10), ((7, 21), 11), ((7, 22), 10), ((7, 23), 10), ((RELATION, 12), 10)]);
    catalog.to.insert((7, 22), 11);
    catalog.extensions.insert(3, "b".into());
    (items, catalog)
}

fn chosen(choice: &Choice) -> Vec<u32> {
    let mut ids: Vec<u32> = choice.entries.keys().copied().collect();
    ids.sort_unstable();
    ids
}

#[test]
fn everything_is_everything() {
    let (items, catalog) = shop();
    let choice = choose(&items, &catalog, &Selection { whole: true, ..Selection::default() });
    assert_eq!(choice.entries.len(), items.len());
    assert!(choice.left_out.is_empty() && choice.entries.values().all(|own| *own));
}

#[test]
fn a_table_brings_what_hangs_on_it_and_what_it_needs() {
    let (items, catalog) = shop();
    let choice = choose(&items, &catalog, &Selection { tables: vec![10], ..Selection::default() });
    assert_eq!(chosen(&choice), [1, 2, 3, 4, 10, 12, 13, 15, 20, 23, 24, 25]);
    assert_eq!(choice.left_out, ["FK CONSTRAINT a.t fk: needs b.u, which is not copied"]);
    assert!(choice.entries[&12] && !choice.entries[&4] && !choice.entries[&15], "{choice:?}");
}

#[test]
fn a_schema_is_all_that_is_in_it_but_what_is_excluded() {
    let (items, catalog) = shop();
    let schemas = vec!["b".to_owned()];
    let choice = choose(
        &items,
        &catalog,
        &Selection { schemas: schemas.clone(), tables: vec![11], ..Selection::default() },
    );
    assert_eq!(chosen(&choice), [2, 3, 4, 11, 21, 25]);
    let choice = choose(&items, &catalog, &Selection { schemas, without: vec![11], ..Selection::default() });
    assert_eq!(chosen(&choice), [2, 3, 4, 25]);
    assert!(choice.left_out.is_empty());
    let whole = Selection { whole: true, without: vec![10], ..Selection::default() };
    let choice = choose(&items, &catalog, &whole);
    assert_eq!(choice.left_out, ["VIEW a.v: needs a.t, which is not copied"]);
    assert!(!choice.entries.contains_key(&12) && !choice.entries.contains_key(&13));
}

#[test]
fn a_parent_is_made_for_its_child_and_not_for_a_partition() {
    let items = items("1 TABLE a parent\n2 TABLE a child 1\n3 TABLE-ATTACH a child 1 2");
    let mut catalog = Catalog::default();
    let selection = Selection { tables: vec![2], ..Selection::default() };
    assert_eq!(chosen(&choose(&items[..2], &catalog, &selection)), [1, 2]);
    catalog.partitions.insert(2);
    let choice = choose(&items, &catalog, &selection);
    assert_eq!(chosen(&choice), [2]);
    assert_eq!(choice.left_out, ["TABLE ATTACH a.child: needs a.parent, which is not copied"]);
    let excluded = Selection { without: vec![1], ..selection };
    let choice = choose(&items[..2], &Catalog::default(), &excluded);
    assert_eq!(choice.left_out, ["TABLE a.child: needs a.parent, which is not copied"]);
}

#[test]
fn a_view_whose_rule_is_blocked_is_not_left_as_a_shell() {
    let items = items("1 TABLE a t\n2 VIEW a v\n3 VIEW a w 2\n4 RULE a v-_RETURN 1 2");
    let mut catalog = Catalog::default();
    catalog.of.insert((7, 4), 2);
    let choice = choose(
        &items,
        &catalog,
        &Selection { schemas: vec!["a".into()], without: vec![1], ..Selection::default() },
    );
    assert!(choice.entries.is_empty(), "{choice:?}");
    assert_eq!(choice.left_out.len(), 2);
}

#[test]
fn ours_is_never_copied_and_a_users_table_never_left_out_for_it() {
    let items = items(
        "1 SCHEMA . pgstream
         2 TABLE pgstream schema_log 1
         3 EXTENSION . pgstream
         4 EVENT-TRIGGER . pgstream_log_schema
         5 TABLE pgstream_sink progress
         6 VIEW a spy 2
         7 TABLE a t 1
         8 EVENT-TRIGGER . mine",
    );
    let choice = choose(&items, &Catalog::default(), &Selection { whole: true, ..Selection::default() });
    assert_eq!(chosen(&choice), [7, 8]);
    assert_eq!(choice.left_out, ["VIEW a.spy: needs pgstream.schema_log, which is pgstream's own"]);
}

#[test]
fn what_needs_a_table_that_cannot_be_read_is_left_out() {
    let mut items = items("1 VIEW a v\n2 TABLE a t");
    let table = Hidden { oid: 99, schema: "s".into(), name: "x".into(), dependents: vec![(RELATION, 1)] };
    assert_eq!(table.pattern(), "\"s\".\"x\"");
    add_hidden(&mut items, &[table]);
    let choice =
        choose(&items, &Catalog::default(), &Selection { schemas: vec!["a".into()], ..Selection::default() });
    assert_eq!(choice.left_out, ["VIEW a.v: needs s.x, which is not copied"]);
    assert_eq!(chosen(&choice), [2]);
}
