//! What happens at the source: every kind of change, and a row of every common type.

use pgstream_tests::Database;

/// Before anybody looks: tables, and rows that a snapshot finds.
pub(super) fn prepare(source: &Database) {
    source.execute(&format!(
        "create extension hstore; create extension citext; create extension ltree;
         create type mood as enum ('sad', 'so so'); create domain email as text check (value like '%@%');
         create domain whole_number as int; create domain price as numeric(10,2);
         create table kinds ({KINDS}); create table arrays ({ARRAYS});
         create table rows (id int primary key, v text, w int);
         create table no_key (v text, w int not null);
         create table two_keys (b int, a text, v text not null, primary key (a, b));
         create table whole (id int primary key, v text, big text); alter table whole replica identity full;
         alter table whole alter big set storage external;
         create table toasted (id int primary key, big text, many int[], doc jsonb, bin bytea, words text[],
             nums numeric[], uuids uuid[], small smallint[], dates date[], v int);
         alter table toasted alter big set storage external, alter many set storage external,
             alter doc set storage external, alter bin set storage external, alter words set storage external,
             alter nums set storage external, alter uuids set storage external, alter small set storage external,
             alter dates set storage external;
         create table edges (id int primary key, {EDGE_TYPES});
         create table \"Odd Name\" (\"Id\" int primary key, \"a \"\"b\"\"\" text);
         create table unique_only (v text, u int not null unique);
         {}",
        insert(0)
    ));
}

/// A row of every type; `id` + 1 is one of NULLs, `id` + 2 one of limits.
fn insert(id: i32) -> String {
    let (nulls, limits) = (id + 1, id + 2);
    format!(
        "insert into kinds values ({id}, {COMMON}); insert into kinds values ({nulls}); insert into kinds values ({limits}, {LIMITS});
         insert into arrays values ({id}, {LISTS}); insert into arrays values ({nulls}); insert into arrays values ({limits}, {EDGES});"
    )
}

/// The stream, one transaction each.
pub(super) fn transactions() -> Vec<String> {
    let large = "(select string_agg(md5(g::text), '') from generate_series(1, 100) g)";
    let mut all = vec![insert(10)];
    all.extend(
        [
            "insert into rows values (1, 'a', 1), (2, 'b', 2), (3, null, null)",
            "update rows set v = 'changed' where id = 1",
            "update rows set id = 20, v = 'moved' where id = 2",
            "delete from rows where id = 3; delete from rows where id = 20",
            "insert into no_key values ('a', 1)",
            "insert into two_keys values (1, 'x', 'v'); update two_keys set v = 'w'; update two_keys set a = 'y, \"z\"'; delete from two_keys",
            "insert into unique_only values ('a', 5)",
            "insert into \"Odd Name\" values (1, E'tab\\t\"quote\" \u{e9} \\\\ <&> \u{1F600}')",
            "update \"Odd Name\" set \"a \"\"b\"\"\" = null; delete from \"Odd Name\"",
            "truncate rows",
            "truncate no_key, two_keys",
            "select pg_logical_emit_message(true, 'outbox', 'content \u{e9}')",
        ]
        .map(str::to_owned),
    );
    all.push(format!("insert into edges values (1, {EDGE_VALUES})"));
    all.push(format!("insert into whole values (1, 'a', {large}); insert into toasted values (1, {large}, (select array_agg(g) from generate_series(1, 600) g), (select jsonb_agg(g) from generate_series(1, 600) g), {large}::bytea, array[{large}], (select array_agg(g) from generate_series(1, 300) g), (select array_agg(md5(g::text)::uuid) from generate_series(1, 200) g), (select array_agg(g)::smallint[] from generate_series(1, 1500) g), (select array_agg('2026-01-01'::date + g) from generate_series(1, 600) g), 1)"));
    all.push("update whole set v = 'b' where id = 1".to_owned());
    all.push("update whole set id = 2 where id = 1".to_owned());
    all.push("delete from whole".to_owned());
    all.push("update toasted set v = 2".to_owned());
    all.push("update toasted set id = 2".to_owned());
    all.push("delete from toasted".to_owned());
    all.push("alter table rows add column extra numeric(6,3)".to_owned());
    all.push("insert into rows values (1, 'a', 1, 1.5); update rows set extra = -0.001".to_owned());
    all
}

/// What is no number or no ordinary time, and types that Debezium leaves out.
const EDGE_TYPES: &str = "n numeric, n2 numeric(10,2), d date, dm date, ts timestamp, tsm timestamp, ts3 timestamp(3), tz timestamptz,
    tzs timestamptz, tzw timestamptz, tzl timestamptz, dbc date, tsbc timestamp, t24 time, tz24 timetz, tzz timetz, f4 real, f8 double precision,
    mon money, tzi timestamptz[], tva tsvector[], t3a time(3)[], ts2 timestamp(2)[], f4a real[],
    tq tsquery, pl pg_lsn, mr int4multirange, x8 xid8, rc regclass, jp jsonpath, na name[], xa xml[], va varbit(5)[]";

const EDGE_VALUES: &str = r#"'NaN', 'NaN', 'infinity', '-infinity', 'infinity', '-infinity', 'infinity', '-infinity',
    '2026-01-01 00:00:00.5+00', '2026-01-01 00:00:00+00', '12026-01-01 00:00:00+00', '0044-03-15 BC', '0044-03-15 12:00:00.123456 BC', '24:00:00', '24:00:00+00', '01:00:00+05:30', 1, 123456789012345680,
    '-0.05', '{2026-01-01 00:00:00+00,infinity}', '{a}', '{10:00:00.123}', '{2026-01-01 00:00:00.12}', '{1,1e20,-Infinity}',
    'a & b', '0/1', '{[1,2)}', '5', 'pg_class', '$.a', '{a}', '{<a/>}', '{101}'"#;

const KINDS: &str = "id int primary key, b boolean, i2 smallint, i4 integer, i8 bigint, o oid, f4 real, f8 double precision,
    n numeric, n2 numeric(10,2), n0 numeric(20), money money,
    c3 char(3), vc varchar(10), t text, ch \"char\", na name, by bytea, u uuid, j json, jb jsonb, x xml,
    d date, tm time, tm0 time(0), tm3 time(3), tmz timetz, ts timestamp, ts0 timestamp(0), ts3 timestamp(3), ts5 timestamp(5),
    tz timestamptz, tz0 timestamptz(0), tz3 timestamptz(3), iv interval, iv2 interval(2),
    bit1 bit, bit5 bit(5), bit16 bit(16), vb varbit, vb1 varbit(1), vb12 varbit(12),
    inet inet, cidr cidr, mac macaddr, mac8 macaddr8, p point, bx box, ls lseg, pa path, po polygon, ci circle, li line,
    r4 int4range, r8 int8range, rn numrange, rts tsrange, rtz tstzrange, rd daterange,
    tv tsvector, m mood, em email, wh whole_number, pr price, hs hstore, cit citext, lt ltree";

const COMMON: &str = r#"true, 1, 2, 9007199254740993, 4000000000, 1.5, 0.1, 123.4500, 12.30, 12345678901234567890, 12.34,
    'ab', 'varchar', 'text', 'x', 'name', '\xdeadbeef', '11111111-2222-3333-4444-555555555555', '{"a" : 1}', '{"a": [1, null]}', '<a>1</a>',
    '2026-11-21', '10:03:18.424456', '10:03:18', '10:03:18.424', '10:03:18.5+02', '2026-11-21 10:03:18.424456', '2026-11-21 10:03:18', '2026-11-21 10:03:18.424', '2026-11-21 10:03:18.42445',
    '2026-11-21 10:03:18.424456+02', '2026-11-21 10:03:18+00', '2026-11-21 10:03:18.420+00', '1 year 2 mons 3 days 04:05:06.789', '-1 day 1.25 sec',
    B'1', B'10110', B'1011000000000001', B'10110', B'1', B'101100000001',
    '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-2)', '((1,2),(3,4))', '((1,2),(3,4))', '((1,2),(3,4))', '((1,2),(3,4),(5,6))', '<(1,2),3>', '{1,2,3}',
    '[1,5)', '[1,5)', '[1.5,2.5]', '[2026-01-01 00:00:00,2026-02-01 00:00:00)', '[2026-01-01 00:00:00+00,2026-02-01 00:00:00+00)', '[2026-01-01,2026-02-01)',
    'a fat cat', 'so so', 'a@b', 7, 5.5, 'k=>"v 1", "q\"q"=>NULL', 'CiText', 'Top.Science'"#;

const LIMITS: &str = r#"false, -32768, -2147483648, -9223372036854775808, 0, 'NaN', '-Infinity', -0.000000000000000000001, -99999999.99, 0, '-92233720368547758.08',
    '', '', '', '', '', '', '00000000-0000-0000-0000-000000000000', 'null', '[]', '',
    '0001-01-01', '00:00:00', '23:59:59', '23:59:59.999', '23:59:59.999999-15:30', '0001-01-01 00:00:00', '1969-12-31 23:59:59', '1999-12-31 23:59:59.999', '2100-01-01 00:00:00.00001',
    'infinity', '1969-12-31 23:59:59+00', '0044-03-15 12:00:00+00 BC', '-178000 years', '0',
    B'0', B'00000', B'0000000000000001', B'', B'0', B'000000000001',
    '::1', '::/0', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', '(1e300,-1e-300)', '((0,0),(0,0))', '((0,0),(0,0))', '[(0,0),(1,1)]', '((0,0))', '<(0,0),0>', '{0,1,0}',
    'empty', '(,)', '(,)', '(,)', '[2026-01-01 00:00:00+00,infinity)', '(,)',
    '', 'sad', '@', -1, -0.01, '', '', ''"#;

const ARRAYS: &str = "id int primary key, b boolean[], i2 smallint[], i4 integer[], i8 bigint[], o oid[], f4 real[], f8 double precision[],
    n numeric[], n2 numeric(5,2)[], c2 char(2)[], vc varchar(5)[], t text[], by bytea[], u uuid[], j json[], jb jsonb[],
    d date[], tm time[], tmz timetz[], ts timestamp[], ts3 timestamp(3)[], tz timestamptz[],
    inet inet[], cidr cidr[], mac macaddr[], r4 int4range[], rn numrange[], rts tsrange[], m mood[], cit citext[], lt ltree[], hs hstore[]";

const LISTS: &str = r#"'{t,f,NULL}', '{1,-2,NULL}', '{1,2}', '{9007199254740993}', '{4000000000}', '{1.5,NaN}', '{0.1,1e20}',
    '{1.50,NULL,12345678901234567890}', '{1.50,-2}', '{a,b}', '{abc,NULL}', '{a,"b c","NULL",NULL,"q\"q","back\\slash",""}', '{"\\xdead",NULL}',
    '{11111111-2222-3333-4444-555555555555}', array['{"a": 1}', NULL]::json[], array['{"a": 1}', 'null']::jsonb[],
    '{2026-11-21,NULL}', '{10:03:18.424456}', '{10:03:18.5+02}', '{2026-11-21 10:03:18.424456}', '{2026-11-21 10:03:18.424}', '{2026-11-21 10:03:18.424456+02}',
    '{10.1.2.3,::1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{"[1,5)"}', '{"[1.5,2.5]"}', '{"[2026-01-01 00:00:00,2026-02-01 00:00:00)"}',
    '{sad,"so so"}', '{CiText}', '{Top.Science,a.b}', array['k=>v'::hstore]"#;

const EDGES: &str =
    "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
