-- Step 5. Every user schema that has tables gets its first document. An empty one gets it with its first table.
create or replace function pgstream.setup_schemas(slot_name text) returns integer
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    name   text;
    logged integer := 0;
begin
    perform pgstream.settle_in();
    for name in
        select n.nspname::text
        from pg_namespace as n
        where not pgstream.is_system_schema(n.nspname::text)
          and exists (select from pg_class as c where c.relnamespace = n.oid and c.relkind in ('r', 'p'))
          and not exists (select from pgstream.schema_log as l where l.schema_name = n.nspname::text and not l.schema ? 'dropped')
        order by n.nspname
    loop
        perform pgstream.log_document(name, '[]', '{}');
        logged := logged + 1;
    end loop;

    delete from pgstream.ddl_pending as p where p.xact < pg_snapshot_xmin(pg_current_snapshot()); -- of commands that failed to log

    insert into pgstream.slots (slot_name, plugin, system_identifier, start_lsn, next_xid, position)
    select s.slot_name, s.plugin, c.system_identifier, s.confirmed_flush_lsn,
           pg_snapshot_xmax(pg_current_snapshot()), s.confirmed_flush_lsn
    from pg_replication_slots as s, pg_control_system() as c
    where s.slot_name = setup_schemas.slot_name and s.database = current_database()
    on conflict do nothing;

    insert into pgstream.schema_log_acks (slot_name, schema_name, version, commit_lsn)
    select k.slot_name, l.schema_name, l.version, k.start_lsn
    from pgstream.slots as k
    cross join (select distinct on (schema_name) schema_name, version
                from pgstream.schema_log order by schema_name, version desc) as l
    where k.slot_name = setup_schemas.slot_name
      and not exists (select from pgstream.schema_log_acks as a where a.slot_name = k.slot_name and a.schema_name = l.schema_name);
    return logged;
end
$$;
comment on function pgstream.setup_schemas(text) is 'step 5 of setting up: the first document of each schema; answers how many';
