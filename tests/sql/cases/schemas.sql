\ir begin.psql
\echo a table moves: both schemas are told
create schema a; create schema b; create table a.t (id int primary key); create table a.u (id int);
alter table a.t set schema b;
\ir news.psql
\echo a schema is renamed: the new name has the tables, the old one is gone
alter schema b rename to "B 2";
create schema empty; alter schema empty rename to still_empty;
\ir news.psql
\echo two schemas in one drop
drop schema a, "B 2" cascade;
\ir news.psql
select schema_name, schema from pgstream.schema_log where schema_name in ('a', 'b', 'B 2') order by 1;
\echo a drop takes a column of another schema with it
create schema types; create type types.mood as enum ('a'); create table t (id int, m types.mood, primary key (id, m));
drop schema types cascade;
\ir news.psql
\echo a schema that is made with its elements
create schema made create table x (id int primary key) create view v as select id from x;
\ir news.psql
\echo what was dropped comes again: versions go on
drop schema made cascade; create schema made;
\ir news.psql
\echo ours, temporary ones, publications: nothing
create temp table x (id int); create temp view w as select id from x; create index on x (id); comment on table x is 'x';
create table pgstream.x (id int); drop table pgstream.x; create publication p; drop publication p;
create function pg_temp.f() returns int language sql as 'select 1'; drop table pg_temp.x cascade;
\ir news.psql
