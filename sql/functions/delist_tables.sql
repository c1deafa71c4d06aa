-- Event trigger: a table that loses its replica identity leaves its list in the same statement, else the
-- user's next UPDATE would fail. Always on.
create or replace function pgstream.delist_tables() returns event_trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    -- A handful of catalogue rows by oid; not knowing how few, the planner would hash whole catalogues.
    set plan_cache_mode = force_generic_plan
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_seqscan = off
    set jit = off
as $$
declare
    candidates oid[];
    changes    record;
begin
    if tg_event = 'sql_drop' then
        candidates := pgstream.tables_after_drop(pgstream.dropped_objects());
    else
        candidates := pgstream.command_tables();
    end if;
    changes := pgstream.list_changes(candidates);
    if changes.delist <> '{}' then
        perform pgstream.delist(changes.delist);
    end if;
exception when others then
    raise warning 'pgstream could not stop publishing updates and deletes after %: %', tg_tag, sqlerrm
        using hint = 'An UPDATE of a table without replica identity fails while it is published.';
end
$$;
comment on function pgstream.delist_tables() is 'take tables that lost their replica identity out of the publication lists';
