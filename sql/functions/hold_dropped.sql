-- Keeps what a command dropped until ddl_command_end of the same command.
create or replace function pgstream.hold_dropped(depth int) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    dropped jsonb := pgstream.dropped_objects();
begin
    insert into pgstream.ddl_pending (xact, depth, objects, tables, schemas)
    select pg_current_xact_id(), hold_dropped.depth,
           (select coalesce(jsonb_agg(o.object - 'names' order by o.nth), '[]')
            from jsonb_array_elements(dropped) with ordinality as o(object, nth)),
           pgstream.tables_after_drop(dropped),
           array(select distinct o ->> 'schema' from jsonb_array_elements(dropped) as o where o ->> 'type' = 'table');

    delete from pgstream.table_ids as t where t.oid in (
        select (o ->> 'oid')::bigint from jsonb_array_elements(dropped) as o where o ->> 'type' = 'table');
end
$$;
comment on function pgstream.hold_dropped(int) is 'note what the running command dropped (event triggers on sql_drop only)';
