\ir begin.psql
-- Roles are of the whole server: their names are this database's.
select current_database() || '_app' as app, current_database() || '_owner' as owner \gset
create role :"app"; create role :"owner"; create schema app authorization :"app"; create schema own authorization :"owner";
grant usage on schema own to :"app";
set session authorization :"owner";
create function own.makes() returns void language plpgsql security definer set search_path = own
    as 'begin create table made (id int primary key); end';
set session authorization :"app";
\echo each command under the role that ran it
create table app.t (id int primary key, v text); select own.makes(); comment on table app.t is 'x';
grant select on app.t to :"owner";
reset session authorization;
grant :"app" to :"owner"; set session authorization :"owner"; set role :"app"; alter table app.t add w int; reset role; reset session authorization;
select l.command_tag, replace(l.role, current_database(), 'db'), l.search_path from pgstream.ddl_log as l
where l.role <> 'postgres' order by l.id;
\echo nobody can write what did not happen
set session authorization :"app";
select pgstream.log_ddl('ddl_command_end', 'DROP TABLE', 'postgres', 'public');
select pgstream.log_ddl('sql_drop', 'DROP TABLE', 'postgres', 'public');
select pgstream.log_ddl('table_rewrite', 'ALTER TABLE', 'postgres', 'public');
insert into pgstream.ddl_pending (xact, depth) values (pg_current_xact_id(), 0);
create function app.smuggles() returns int language plpgsql as $$
begin
    perform pgstream.log_ddl('ddl_command_end', 'DROP TABLE', 'postgres', 'public');
    return 1;
end $$;
create table app.c as select app.smuggles();
reset session authorization;
select count(*) from pgstream.ddl_log where command_tag = 'DROP TABLE' or search_path = 'public';
\echo nor take the lists away
select from pgstream.setup_publications(), pgstream.setup_lists();
create table mine (id int primary key);
set session authorization :"app";
select from pgstream.release('DROP SCHEMA', '{public}') -- drop schema pgstream
;
select from pgstream.release('DROP EXTENSION', '{public}') -- drop extension pgstream
;
select from pgstream.release('ALTER TABLE', '{public}') -- alter table mine set unlogged
;
drop schema pgstream cascade;
reset session authorization;
select count(*) from pg_publication;
select count(*) from pg_publication_tables where tablename = 'mine' and pubname <> 'pgstream_inserts';
drop owned by :"app", :"owner" cascade; drop role :"app", :"owner";
