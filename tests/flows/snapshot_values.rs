//! Values of every type, odd ones included: a copy brings them exactly, and prints them as the stream does.

use std::collections::BTreeMap;

use pgstream_tests::{assert_same, wait_until, Database, Finished, Sidecar, LONG, SOON};

use super::init;

/// Types of users and of extensions, and a table with a column of every kind.
const TABLE: &str = r#"
create schema ext; create extension hstore schema ext; create extension ltree schema ext; create extension cube schema ext; create extension citext schema ext;
create type mood as enum ('sad', 'ok', 'very "happy"');
create type pair as (a int, b text);
create type nested as (p pair, m mood[], r int4range);
create domain positive as int check (value > 0);
create domain short_text as varchar(5);
create domain moods as mood[];
create type span as range (subtype = numeric, multirange_type_name = spans);
create table v (
    id int primary key, i2 int2, i8 int8, n numeric, n2 numeric(20, 5), f4 float4, f8 float8, m money, b bool,
    tx text, vc varchar(10), ch char(5), qc "char", na name, by bytea, js json, jb jsonb, jp jsonpath, xm xml, uu uuid,
    d date, ti time, tz timetz, ts timestamp, tt timestamptz, t0 timestamptz(0), iv interval, ih interval hour to minute, bi bit(3), vb varbit,
    inet inet, cidr cidr, mac macaddr, mac8 macaddr8, pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle,
    tv tsvector, tq tsquery, lsn pg_lsn, o oid, rc regclass, x xid8, sn pg_snapshot,
    r4 int4range, r8 int8range, rn numrange, rd daterange, rt tstzrange, mr nummultirange, sp span, sps spans,
    ia int[], ta text[][], na_ numeric[], ba bytea[], tsa timestamptz[], ja jsonb[], ra int4range[], md mood, mda mood[], pr pair, pra pair[], ne nested,
    dom positive, st short_text, mo moods, hs ext.hstore, lt ext.ltree, lta ext.ltree[], cu ext.cube, cit ext.citext
);
"#;

/// Ordinary, empty and extreme values.
const ROWS: &str = r#"
set search_path = public, ext;
insert into v values
(1, -32768, 9007199254740993, 123456789012345678901234567890.123456789012345678901234567890, 0.00001, 1.1754944e-38, 0.1::float8 + 0.2::float8, '$1,234.56', true,
 e'tab\t newline\n return\r back\\slash \\N "quote" ''single'' \u00e4\u4e2d\u0001', 'abc', 'ab', 'x', 'name', '\x00ff5c270a', '{"a":  1, "a": 2, "big": 12345678901234567890}', '{"b": 1.000, "n": null, "s": "\u00e4", "i": 9007199254740993}', '$.a[*] ? (@ > 1)', '<a>b</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
 '2026-11-21', '24:00:00', '24:00:00-15:59', '2026-11-21 10:00:00.123456', '2026-11-21 10:00:00.123456+00', '2026-11-21 10:00:00.9+00', '1 year -2 mons 3 days -04:05:06.789', '5:06', b'101', b'1',
 '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '((1,1),(0,0))', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>',
 'a:1A fat:2 ''it''''s'':3', 'fat & !cat <-> dog', '16/B374D848', 4294967295, 'pg_class', '18446744073709551615', '10:20:10,14,15',
 '[1,5)', '(,5]', '(1.5,)', 'empty', '[2026-01-01,infinity]', '{[1,2),(3,)}', '[1.5,2.5]', '{[1,2),[3,4]}',
 '{1,NULL,-3}', '{{a,"b,c"},{"d\"e",NULL}}', '{NaN,1e-10}', '{"\\x00"}', '{infinity,"2026-01-01 00:00:00+00"}', array['{"a": "\""}', null]::jsonb[], '{"[1,2)",empty,NULL}', 'very "happy"', '{sad,"very \"happy\"",NULL}', '(1,"a,b")', '{"(1,a)","(,)",NULL}', row(row(1, 'x"y')::pair, '{ok,NULL}', '[1,)')::nested,
 5, 'abcde', '{ok}', 'a=>1, "b c"=>NULL', 'Top.Science', '{a.b,c}', '(1,2),(3,4)', 'CaSe'),
(2, 32767, -9223372036854775808, 'NaN', null, 'Infinity', '-Infinity', '-$92,233,720,368,547,758.08', false, '', '', '', '', '', '', '"scalar"', 'null', null, '', null,
 'infinity', '00:00', '00:00-15:59', '-infinity', 'infinity', '-infinity', '0', null, null, b'', null, null, null, null, null, null, null, null, null, null, null, '', '', '0/0', 0, '-', '0', null,
 'empty', null, '(,)', '(,)', '(,)', '{}', 'empty', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', null, '{}', '(,)', '{}', '(,,)', null, '', '{}', '', '', '{}', '()', ''),
(3, 0, 9223372036854775807, 'Infinity', null, '-0', '-0', '$92,233,720,368,547,758.07', null, 'NULL', null, null, e'\\200', null, null, '[]', '[]', null, null, null,
 '4713-01-01 BC', null, null, '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', null, '-178000000 years', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
 null, null, null, null, null, null, null, null, '[5:6]={1,2}', '[-1:0][2:2]={{a},{b}}', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
(4, 1, 1, '-Infinity', null, 'NaN', 'NaN', 0, null, repeat('ä', 3000), null, null, null, null, null, '1e400', '1e400', null, null, null,
 '-infinity', '23:59:59.999999', '23:59:59.999999+15:59', '4714-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999+00', null, '178000000 years -11 mons 2147483647 days', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
 null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
insert into v (id, n) values (5, (repeat('9', 500) || '.' || repeat('1234567890', 50))::numeric), (6, ('-0.' || repeat('0', 999) || '1')::numeric), (7, 0.000), (8, 1e1000);
insert into v (id) values (9);
insert into v (id, d, n, iv) values (10, '5874897-12-31', 'NaN', '-1 mon +30 days -24:00:00.000001');
"#;

/// A table with a column of each built-in type that a column can have.
const EVERY_TYPE: &str = "do $$ declare columns text; begin
    select string_agg(format('c%s %s', oid, format_type(oid, null)), ', ' order by oid) into columns from pg_type t
    where typnamespace = 'pg_catalog'::regnamespace and oid < 16384 and typtype in ('b', 'r', 'm') and typrelid = 0
        and (typelem = 0 or not exists (select from pg_type e where e.oid = t.typelem and (e.typtype not in ('b', 'r', 'm') or e.typrelid <> 0)))
        and typname not in ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary');
    execute 'create table every (id int primary key, ' || columns || ')';
end $$";

/// How a session of a user writes and reads is no matter.
const STRANGE: &str = "set bytea_output = escape; set datestyle = 'German'; set intervalstyle = 'iso_8601'; \
    set timezone = 'Asia/Kolkata'; set extra_float_digits = -5; set lc_monetary = 'C';";

fn copy(source: &Database, target: &[&str]) -> Finished {
    let from = source.url();
    let args = ["snapshot", "--postgres-url", &from, "--tables", "*.*", "--target"];
    Sidecar::new([&args, target].concat()).finish()
}

#[test]
fn odd_values_arrive_exactly() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(TABLE);
    source.execute(&format!("{STRANGE} {ROWS}"));
    let name = &source.name;
    // Defaults of the database are those of each new session: ours must not depend on them.
    source.execute(&format!(
        r#"alter database "{name}" set datestyle = 'SQL, DMY'; alter database "{name}" set intervalstyle = 'sql_standard';
           alter database "{name}" set extra_float_digits = -10; alter database "{name}" set bytea_output = escape"#
    ));
    let finished = copy(&source, &["postgres", "--target-url", &target.url()]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    source.execute(&format!("alter database \"{name}\" reset all"));
    assert_same(&source, &target);
}

/// Tables whose types have no binary form, or another name at the target, go by text: with the same result.
#[test]
fn values_without_a_binary_form_arrive_exactly() {
    let (source, target) = (Database::on_source(), Database::on_target());
    source.execute(
        r#"create table acls (id int primary key, a aclitem, aa aclitem[]); insert into acls values (1, 'postgres=r/postgres', '{postgres=r/postgres,NULL}'), (2, null, '{}');
           create type holder as (a aclitem, t text); create table inside (h holder); insert into inside values (row('=r/postgres', e'a,"b\\\n')), (row(null, '')), (null);
           create table wider (id int primary key, n int, t varchar(10), f float4, d date, m numeric(10, 2));
           insert into wider values (1, 7, 'abc', 1.5, 'infinity', 'NaN'), (2, null, '', 'NaN', '0044-03-15 BC', 1.10)"#,
    );
    target
        .execute("create table wider (id bigint primary key, n bigint, t text, f float8, d text, m numeric)");
    let run = |tables: &str, to: &[&str]| {
        let (from, url) = (source.url(), target.url());
        let args = ["snapshot", "--postgres-url", &from, "--target-url", &url, "--tables", tables];
        let finished = Sidecar::new([&args, to].concat())
            .file("data.yaml", "source:\n  postgres:\n    snapshot:\n      mode: data\n")
            .finish();
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    };
    run("acls inside", &[]);
    run("wider", &["-c", "data.yaml"]);
    let rows = "select string_agg(t::text, e'\\n' order by t::text) from";
    for table in ["acls", "inside", "wider"] {
        let rows = format!("{rows} {table} t");
        assert_eq!(target.value(&rows), source.value(&rows), "{table}");
    }
}

/// The `columns` of each inserted row of `table`, by the row's id, exactly as printed but without pgstream's ids.
fn printed(text: &str, table: &str) -> BTreeMap<String, String> {
    let head = format!("\"table\":\"{table}\",\"columns\":");
    let rows = text.lines().filter(|line| line.starts_with("{\"action\":\"I\"")).filter_map(|line| {
        let columns = line.split_once(&head)?.1.split_once(",\"identity\":")?.0;
        let columns: Vec<&str> = columns.split("{\"id\":\"").map(without_id).collect();
        let id = columns.get(1)?.split_once("\"value\":")?.1;
        Some((id.to_owned(), columns.concat()))
    });
    rows.collect()
}

fn without_id(column: &str) -> &str {
    column
        .split_once('"')
        .map_or(column, |(_, rest)| if rest.starts_with(",\"name\"") { rest } else { column })
}

/// One decoder for both: what a copy prints of a row is what the stream prints of it.
#[test]
fn a_copy_and_the_stream_print_the_same() {
    let source = Database::on_source();
    source.execute(TABLE);
    source.execute("create table k (\"A b\" text, n numeric(5, 2)[]); alter table k replica identity full; create table nothing ()");
    source.execute(EVERY_TYPE);
    init(&source);
    let sidecar = Sidecar::new(["run", "--source", "postgres", "--source-url", &source.url()]).start();
    sidecar.wait_for_line("streaming", SOON);
    source.execute(&format!("{STRANGE} {ROWS}"));
    source.execute("insert into k values ('k', '{1.50,NULL}'); insert into every values (1)");
    let rows = |text: &str| ["v", "k", "every"].map(|table| printed(text, table).len());
    let complete = |text: &str| rows(text) == [10, 1, 1];
    wait_until("all rows by the stream", LONG, || complete(&sidecar.stdout()).then_some(()));
    let streamed = sidecar.stdout();
    let finished = copy(&source, &["stdout"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(complete(&finished.stdout), "{}", finished.stdout);
    for table in ["v", "k", "every"] {
        let (copied, streamed) = (printed(&finished.stdout, table), printed(&streamed, table));
        for (id, row) in &streamed {
            assert_eq!(copied.get(id), Some(row), "{table} {id}");
        }
    }
    let kept = format!("\"value\":{}.{}", "9".repeat(500), "1234567890".repeat(50));
    assert!(finished.stdout.contains(&kept), "no digit is lost");
}
