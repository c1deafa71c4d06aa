//! Both ways of installing give the same objects; what an ordinary user may do with them.

use std::collections::BTreeMap;

use pgstream_tests::Database;

use super::{on_both_installs, Install};

on_both_installs!(a_table_owner_needs_nothing, nobody_else_writes_the_logs, the_ledger_is_at_its_newest);

/// Everything in the schema and every event trigger, with all that makes it what it is. Functions of the library
/// have only their signature in common with their stand-ins, so of them no more than that is told.
const OBJECTS: &str = "
    select format('function %s returns %s', p.oid::regprocedure, pg_get_function_result(p.oid)),
           case when l.lanname = 'c' then 'in the library'
                else pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') || coalesce(obj_description(p.oid), '') end
      from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace = 'pgstream'::regnamespace
    union all
    select format('relation %s', c.relname),
           concat_ws(' ', c.relkind, c.relacl, obj_description(c.oid, 'pg_class'), pg_get_indexdef(c.oid),
                     case c.relkind when 'v' then pg_get_viewdef(c.oid) end)
      from pg_class c where c.relnamespace = 'pgstream'::regnamespace
    union all
    select format('column %s.%s', c.relname, a.attname),
           concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                     pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(a.attrelid, a.attnum))
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.relnamespace = 'pgstream'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select format('constraint %s', conname), pg_get_constraintdef(oid)
      from pg_constraint where connamespace = 'pgstream'::regnamespace
    union all
    select format('type %s', typname), concat_ws(' ', typtype, typacl, format_type(typbasetype, typtypmod))
      from pg_type where typnamespace = 'pgstream'::regnamespace
    union all
    select format('trigger %s', tgname), pg_get_triggerdef(t.oid)
      from pg_trigger t join pg_class c on c.oid = tgrelid
     where c.relnamespace = 'pgstream'::regnamespace and not tgisinternal
    union all
    select format('event trigger %s', evtname), concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, evttags)
      from pg_event_trigger where evtname like 'pgstream%'
    union all
    select 'schema', nspacl::text from pg_namespace where nspname = 'pgstream'";

/// Both databases have the same objects, to the last comment and right.
pub(crate) fn assert_same_objects(expected: &Database, found: &Database) {
    let (expected, found) = (objects(expected), objects(found));
    for (name, definition) in &expected {
        assert_eq!(found.get(name), Some(definition), "{name}");
    }
    let more: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(more.is_empty(), "{more:?}");
}

fn objects(database: &Database) -> BTreeMap<String, String> {
    database.rows(OBJECTS).into_iter().map(|mut row| (row.remove(0), row.remove(0))).collect()
}

#[test]
fn the_extension_and_the_plain_files_make_the_same_objects() {
    let (extension, plain) = (objects(&Install::Extension.database()), objects(&Install::Plain.database()));
    for (name, definition) in &plain {
        let other = extension.get(name).unwrap_or_else(|| panic!("{name}: not made by the extension"));
        assert!(
            other == definition || other == "in the library",
            "{name}:\n{definition}\nby the extension:\n{other}"
        );
    }
    for (name, definition) in &extension {
        assert!(
            plain.contains_key(name) || definition == "in the library",
            "{name}: only made by the extension"
        );
    }
    assert!(plain.len() > 50, "{} objects: the list itself is wrong", plain.len());
}

#[test]
fn a_database_owner_can_create_the_extension() {
    let database = Database::on_source();
    let owner = format!("owner_of_{}", database.name);
    database.execute(&format!(r#"create role {owner}; alter database "{}" owner to {owner}"#, database.name));
    let mut session = database.session();
    session.execute(&format!(
        "set session authorization {owner}; create extension pgstream; create table t (id int)"
    ));
    assert_eq!(session.error("delete from pgstream.ddl_log"), "42501 permission denied for table ddl_log");
    session.execute("drop extension pgstream; drop table t");
    session.execute(&format!(
        r#"reset session authorization; alter database "{}" owner to postgres"#,
        database.name
    ));
    session
        .execute(&format!("reassign owned by {owner} to postgres; drop owned by {owner}; drop role {owner}"));
}

fn a_table_owner_needs_nothing(database: Database) {
    let role = format!("user_{}", database.name);
    let mut session = database.session();
    session.execute(&format!("create role {role}; create schema s authorization {role}; set role {role}"));
    session.execute(
        "create table s.t (id int primary key); alter table s.t add v text; insert into s.t values (1)",
    );
    session.execute("drop table s.t; reset role");
    let seen =
        session.rows("select command_tag, role from pgstream.ddl_log where role <> 'postgres' order by id");
    let tags = seen.iter().map(|row| row[0].as_str()).collect::<Vec<_>>();
    assert_eq!(tags, ["CREATE TABLE", "ALTER TABLE", "DROP TABLE"]);
    assert!(seen.iter().all(|row| row[1] == role), "{seen:?}");
    session.execute(&format!("drop schema s; drop role {role}"));
}

fn nobody_else_writes_the_logs(database: Database) {
    let role = format!("user_{}", database.name);
    let mut session = database.session();
    session.execute(&format!("create role {role}; set role {role}"));
    let tables = session.rows("select tablename from pg_tables where schemaname = 'pgstream'");
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables.into_iter().flatten() {
        let refused = format!("42501 permission denied for table {table}");
        for statement in
            ["table pgstream.{}", "delete from pgstream.{}", "insert into pgstream.{} default values"]
        {
            assert_eq!(session.error(&statement.replace("{}", &table)), refused, "{statement}");
        }
    }
    for call in ["init()", "destroy()", "setup_publications()", "setup_lists()", "refresh_schema('public')"] {
        let error = session.error(&format!("select pgstream.{call}"));
        assert!(error.starts_with("42501 permission denied for function"), "{call}: {error}");
    }
    session.execute(&format!("reset role; drop role {role}"));
}

fn the_ledger_is_at_its_newest(database: Database) {
    let order = super::plain_order();
    let newest =
        order.iter().filter_map(|path| path.strip_prefix("tables/")?.split('_').next()?.parse::<u32>().ok());
    let newest = newest.max().expect("numbered files");
    assert_eq!(database.rows("table pgstream.schema_migrations"), [[newest.to_string(), "f".into()]]);
}
