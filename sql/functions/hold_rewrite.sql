create or replace function pgstream.hold_rewrite(depth int) returns void
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    insert into pgstream.ddl_pending (xact, depth, rewritten)
    select pg_current_xact_id(), depth, c.oid
    from pg_class as c
    where c.oid = pg_event_trigger_table_rewrite_oid() and c.relpersistence <> 't'
$$;
comment on function pgstream.hold_rewrite(int) is 'note that the running command rewrites a table (event triggers on table_rewrite only)';
