\ir begin.psql
\echo below the table that is named
create schema other; create table parent (id int, v text); create table child (x int) inherits (parent);
create table other.grandchild () inherits (public.child);
alter table parent add w int; alter table parent rename v to vv;
\ir news.psql
drop table parent cascade;
\ir news.psql
\echo types that columns have
create type mood as enum ('a'); create table t (m mood, ms mood[]); create domain counted as int; create table u (c counted);
alter type mood rename to moods; alter domain counted set not null; drop type moods cascade;
\ir news.psql
\echo indexes tell their table, also when they go
create table i (id int, v text); create unique index iv on i (v); drop index iv;
create index concurrently ii on i (id); drop index concurrently ii;
\ir news.psql
select c ->> 'name', c ->> 'unique' from pgstream.schema_log as l, jsonb_array_elements(l.schema #> '{tables,-1,columns}') as c
where l.schema_name = 'public' order by l.version desc, 1 limit 2;
\echo rewrites, and a command inside of one
create table r (id int); insert into r values (1);
create function makes_table() returns int language plpgsql as 'begin create table if not exists made (a int); return 1; end';
alter table r alter id type bigint using id + makes_table();
alter table r add g uuid default gen_random_uuid(); alter table r add n int default 5, add s serial;
\ir news.psql
select c ->> 'name', c ->> 'stored', c ->> 'default' from pgstream.ddl_log as l, jsonb_array_elements(l.tables #> '{0,columns}') as c
where c ->> 'stored' is not null order by l.id desc limit 1;
\echo values that old rows get, as the stream prints values
set datestyle = 'German'; set bytea_output = 'escape'; set intervalstyle = 'iso_8601';
create table s (id int); insert into s values (1);
alter table s add d date default '2024-12-31', add b bytea default '\x00ff', add a int[] default '{1,2}', add x box default '((1,2),(3,4))',
    add t text default 'a,"b" {c}', add i interval default '1 day', add v varchar[] default array['x y', null];
reset datestyle; reset bytea_output; reset intervalstyle;
select c ->> 'name', c ->> 'stored' from pgstream.ddl_log as l, jsonb_array_elements(l.tables #> '{0,columns}') as c
where l.id = (select max(id) from pgstream.ddl_log) and c ->> 'stored' is not null;

