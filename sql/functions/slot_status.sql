create or replace function pgstream.slot_status()
    returns table (name text, value text, ok boolean, hint text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select 'slot ' || k.slot_name,
           case when s.slot_name is null then 'missing'
                when s.wal_status = 'lost' then 'lost'
                else s.plugin || ', ' || case when s.active then 'active' else 'not in use' end end,
           s.slot_name is not null and s.wal_status is distinct from 'lost'
               and k.system_identifier = c.system_identifier,
           case when k.system_identifier <> c.system_identifier then 'This is a copy of another server: run pgstream init.'
                when s.slot_name is null or s.wal_status = 'lost' then 'Run pgstream destroy and init, then copy the tables anew.'
                when s.wal_status = 'unreserved' then 'The slot is about to lose WAL: raise max_slot_wal_keep_size.' end
    from pg_control_system() as c, pgstream.slots as k
    left join pg_replication_slots as s on s.slot_name = k.slot_name and s.database = current_database()
    union all
    select 'lag ' || s.slot_name, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)), true, null
    from pgstream.slots as k
    join pg_replication_slots as s on s.slot_name = k.slot_name and s.database = current_database()
    where not pg_is_in_recovery()
    union all
    select 'slot', 'none', false, 'Run pgstream init.'
    where not exists (select from pgstream.slots)
$$;
comment on function pgstream.slot_status() is 'the part of status() about replication slots';
