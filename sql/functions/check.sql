-- Preflight. ok = false: something would not work or not arrive. A hint with ok = true: look at it.
create or replace function pgstream.check()
    returns table (name text, value text, ok boolean, hint text)
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
    select c.name, c.value, c.ok, case when not c.ok or c.advise then c.hint end
    from (
        select 1, 'server', current_setting('server_version'), current_setting('server_version_num')::int >= 130000, false,
               'PostgreSQL 13 is the oldest version that works.'
        union all
        select 2, 'recovery', case when pg_is_in_recovery() then 'standby' else 'primary' end, not pg_is_in_recovery(), false,
               'Set up on the primary.'
        union all
        select 3, 'wal_level', current_setting('wal_level'), current_setting('wal_level') = 'logical', false,
               'Run alter system set wal_level = logical; and restart the server.'
        union all
        select 4, 'replication slots left', free::text, free > 0 or exists (select from pgstream.slots), false,
               'Drop a slot or raise max_replication_slots.'
        from (select current_setting('max_replication_slots')::int - count(*) as free from pg_replication_slots) as s
        union all
        select 5, 'WAL senders left', free::text, free > 0, false, 'Raise max_wal_senders.'
        from (select current_setting('max_wal_senders')::int - count(*) as free from pg_stat_replication) as s
        union all
        select 6, 'output plugins', coalesce(current_setting('output_plugin_libraries', true), 'any'),
               coalesce(current_setting('output_plugin_libraries', true), 'pgoutput') ~ '\mpgoutput\M', false,
               'Put pgoutput into output_plugin_libraries.'
        union all
        select 7, 'WAL kept for slots', current_setting('max_slot_wal_keep_size'), true,
               current_setting('max_slot_wal_keep_size') <> '-1', 'A stream that stands still longer than this loses its slot.'
        union all
        select 8, 'tables without identity', pgstream.summary(t.names), t.names = '{}', false,
               'Their updates and deletes are not captured: alter table .. replica identity full.'
        from (select array(select i::text from pgstream.tables_without_identity() as i) as names) as t
        union all
        select 9, 'unlogged tables', pgstream.summary(t.names), true, t.names <> '{}', 'Their rows are not captured.'
        from (select array(select c.oid::regclass::text from pg_class as c
                           where c.relkind = 'r' and c.relpersistence = 'u'
                             and not pgstream.is_system_schema(c.relnamespace::regnamespace::text) order by 1) as names) as t
        union all
        select 10, 'large objects', l.number::text, true, l.number > 0, 'They are not captured.'
        from (select count(*) as number from pg_largeobject_metadata) as l
        union all
        select 11, 'long transactions', pgstream.summary(a.list), true, a.list <> '{}', 'The slot cannot be made before they end.'
        from (select array(
                  select format('pid %s since %s', pid, date_trunc('second', xact_start)) from pg_stat_activity
                  where backend_xid is not null and xact_start < clock_timestamp() - interval '1 minute' and pid <> pg_backend_pid()
                  union all
                  select format('prepared %s since %s', gid, date_trunc('second', prepared)) from pg_prepared_xacts) as list) as a
    ) as c(nth, name, value, ok, advise, hint)
    order by c.nth
$$;
comment on function pgstream.check() is 'whether this server can be captured, and what will not be';
