//! Every built-in type arrives without any loss.

use super::Stream;

const TABLE: &str = r#"
create type mood as enum ('sad', 'ok', 'very "happy"');
create type pair as (a int, b text);
create domain positive as int check (value > 0);
create table t (
    id int primary key, i2 int2, i8 int8, n numeric, n2 numeric(20, 5), f4 float4, f8 float8, m money, b bool,
    tx text, vc varchar(10), ch char(5), qc "char", na name, by bytea, js json, jb jsonb, xm xml, uu uuid,
    d date, ti time, tz timetz, ts timestamp, tt timestamptz, iv interval, bi bit(3), vb varbit,
    inet inet, cidr cidr, mac macaddr, mac8 macaddr8, pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle,
    tv tsvector, tq tsquery, lsn pg_lsn, o oid, rc regclass,
    r4 int4range, r8 int8range, rn numrange, rd daterange, rt tstzrange, mr nummultirange,
    ia int[], ta text[][], na_ numeric[], ba bytea[], tsa timestamptz[], md mood, mda mood[], pr pair, pra pair[], dom positive
)"#;

#[test]
fn every_type_keeps_its_value() {
    let stream = Stream::start(TABLE);
    stream.source.execute(
        r#"set bytea_output = escape; set datestyle = 'German'; set intervalstyle = 'iso_8601'; set timezone = 'Asia/Kolkata'; set extra_float_digits = -5;
insert into t values
(1, -32768, 9007199254740993, 123456789012345678901234567890.123456789012345678901234567890, 0.00001, 1.1754944e-38, 0.1::float8 + 0.2::float8, '$1,234.56', true,
 e'tab\t newline\n back\\slash "quote" ''single'' \u00e4\u4e2d', 'abc', 'ab', 'x', 'name', '\x00ff5c27', '{"a":  1, "a": 2, "big": 12345678901234567890}', '{"b": 1.000, "n": null, "s": "\u00e4"}', '<a>b</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
 '2026-11-21', '24:00:00', '23:59:59.999999+05:30', '2026-11-21 10:00:00.123456', '2026-11-21 10:00:00.123456+00', '1 year -2 mons 3 days -04:05:06.789', b'101', b'1',
 '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '((1,1),(0,0))', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>',
 'a:1A fat:2', 'fat & !cat', '16/B374D848', 4294967295, 'pg_class',
 '[1,5)', '(,5]', '(1.5,)', 'empty', '[2026-01-01,infinity]', '{[1,2),(3,)}',
 '{1,NULL,-3}', '{{a,"b,c"},{"d\"e",NULL}}', '{NaN,1e-10}', '{"\\x00"}', '{infinity,"2026-01-01 00:00:00+00"}', 'very "happy"', '{sad,"very \"happy\""}', '(1,"a,b")', '{"(1,a)","(,)"}', 5),
(2, null, -9223372036854775808, 'NaN', null, 'Infinity', '-Infinity', null, false, '', '', '', '', '', '', '"scalar"', 'null', null, null,
 'infinity', '00:00', '00:00-15:59', '-infinity', 'infinity', '0', null, b'', null, null, null, null, null, null, null, null, null, null, null, '', '', null, 0, null,
 'empty', null, '(,)', '(,)', '(,)', '{}', '{}', '{}', '{}', '{}', '{}', null, '{}', '(,)', '{}', null),
(3, 0, 0, 'Infinity', null, '-0', '-0', null, null, 'NULL', null, null, null, null, null, null, null, null, null,
 '4713-01-01 BC', null, null, '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00+00 BC', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
 null, null, null, null, null, null, '[5:6]={1,2}', null, null, null, null, null, null, null, null, null)"#,
    );
    stream.assert_arrived();
    stream.check(
        "update t set id = id + 10, n = n * 10, jb = jb where id <> 3; update t set tx = '' where id = 3",
    );
    stream.check("alter table t replica identity full; update t set i2 = 7; delete from t where id = 3");
}

#[test]
fn names_of_any_kind_are_quoted() {
    let stream = Stream::start(
        r#"create schema "S 2"; create table "S 2"."T ""1"" %s" ("Col ä" int primary key, "select" text, "a.b" int, "semi;colon" int)"#,
    );
    stream.check(r#"insert into "S 2"."T ""1"" %s" values (1, 'x', 2, 3)"#);
    stream.check(r#"update "S 2"."T ""1"" %s" set "select" = 'y', "Col ä" = 2; alter table "S 2"."T ""1"" %s" rename "a.b" to "$1""#);
    stream.check(r#"update "S 2"."T ""1"" %s" set "$1" = 5; delete from "S 2"."T ""1"" %s""#);
}

#[test]
fn a_row_of_a_thousand_columns_and_a_large_value() {
    let columns: Vec<String> = (0..1000).map(|n| format!("c{n} int")).collect();
    let stream = Stream::start(&format!(
        "create table wide ({}); create table big (id int primary key, v bytea)",
        columns.join(", ")
    ));
    stream.check("insert into wide (c0, c999) values (1, 2)");
    stream.check("insert into big select 1, decode(repeat('ab', 20000000), 'hex')");
}
