\ir begin.psql
select from pgstream.setup_publications(), pgstream.setup_lists();
create view listed as
    select string_agg(r.prrelid::regclass::text, ' ' order by r.prrelid::regclass::text collate "C")
    from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid where p.pubname like 'pgstream\_changes\__';
\echo an identity comes and goes: so does the table, and no update fails
create table t (id int primary key, v text); insert into t values (1, 'a'); update t set v = 'b';
table listed;
alter table t drop constraint t_pkey; update t set v = 'c';
table listed;
alter table t replica identity full; table listed;
alter table t replica identity nothing; update t set v = 'd'; table listed;
alter table t alter id set not null; create unique index u on t (id); alter table t replica identity using index u; table listed;
drop index u; update t set v = 'e'; table listed;
alter table t add primary key (id), replica identity default; table listed;
begin; alter table t drop column id; update t set v = 'f'; table listed; rollback; table listed;
alter table t drop constraint t_pkey, add primary key (id) deferrable; update t set v = 'g'; table listed;
\echo unlogged and back, however it is written
create table "We""ird T" (id int primary key); create schema s; create table s.low (id int primary key);
alter table if exists only public . "We""ird T" /* ; */ set unlogged;
set search_path = s, public; do 'begin alter table LOW set unlogged; end'; reset search_path;
table listed;
alter table "We""ird T" set logged; alter table s.low set logged; table listed;
drop table "We""ird T", t, s.low; table listed;
\echo trees
create table tree (id int primary key, v text) partition by range (id);
create table l1 partition of tree for values from (0) to (10); create table l2 partition of tree for values from (10) to (20);
table listed;
insert into tree values (1, 'a'), (11, 'b');
alter table l2 replica identity nothing; update tree set v = 'c'; table listed;
alter table l2 replica identity default; table listed;
alter table tree detach partition l2; update l2 set v = 'd'; table listed;
create table bare (id int, v text) partition by range (id); create table keyed (id int primary key, v text);
alter table bare attach partition keyed for values from (0) to (10); insert into bare values (1, 'a'); update bare set v = 'b'; table listed;
alter table bare attach partition l2 for values from (10) to (20); update bare set v = 'c'; table listed;
create table sub partition of bare for values from (20) to (30) partition by range (id); create table leaf partition of sub default;
insert into bare values (21, 'a'); update bare set v = 'd'; table listed;
drop table tree, bare cascade; table listed;
\echo a key goes with its type, a table comes with a query
create type mood as enum ('a'); create table m (m mood primary key, v text); create table q as select 1 as one; select 2 as two into q2;
alter table q add primary key (one); table listed;
drop type mood cascade; update m set v = 'x'; table listed;
\echo temporary, unlogged: never
create temp table tt (id int primary key); create unlogged table ul (id int primary key); table listed;
\echo in a transaction with an old snapshot
begin isolation level repeatable read; select 1;
create table rr (id int primary key); insert into rr values (1); update rr set id = 2;
alter table rr drop constraint rr_pkey; update rr set id = 3; alter table q drop constraint q_pkey; update q set one = 3;
commit;
table listed;
\echo while nothing is logged
set pgstream.skip_log = 'TRUE'; create table sk (id int primary key); table listed; alter table sk drop constraint sk_pkey; reset pgstream.skip_log;
table listed;
