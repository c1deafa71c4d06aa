\ir begin.psql
\echo only TRUE skips
create table a (id int);
set pgstream.skip_log = 'on'; create table b (id int); set pgstream.skip_log = 'TRUE'; create table c (id int); drop table a;
alter table b add v int;
\ir news.psql
\echo the next document knows all the same
reset pgstream.skip_log; create table d (id int);
\ir news.psql
\echo refresh
set pgstream.skip_log = 'TRUE'; create table e (id int); select pgstream.refresh_schema('public'), pgstream.refresh_schema('pgstream'), pgstream.refresh_schema(null);
\ir news.psql
select current_setting('pgstream.skip_log') = '', (select schema from pgstream.schema_log order by version desc limit 1) = pgstream.get_schema('public');
select pgstream.refresh_schema('nosuch');
\echo rollback
begin; create table gone (id int); rollback; begin; savepoint s; drop table b; rollback to s; create table f (id int); commit;
\ir news.psql
\echo the table that a query makes, rows first
create table g as select 1 as n; select 1 as n into h; create materialized view mv as select * from g;
\ir news.psql
