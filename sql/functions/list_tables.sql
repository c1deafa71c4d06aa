-- Event trigger: a table that can be published is, from this statement on. Made disabled, armed by
-- setup_publications(): a restore that runs in parallel fills the lists itself.
create or replace function pgstream.list_tables() returns event_trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    -- A handful of catalogue rows by oid; not knowing how few, the planner would hash whole catalogues.
    set plan_cache_mode = force_generic_plan
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_seqscan = off
    set jit = off
    set lock_timeout = '5s'
as $$
declare
    changes record;
begin
    changes := pgstream.list_changes(pgstream.command_tables());
    if changes.enlist <> '{}' then
        perform pgstream.enlist(changes.enlist);
    end if;
exception when others then
    raise warning 'pgstream could not publish updates and deletes after %: %', tg_tag, sqlerrm
        using hint = 'Run select pgstream.setup_lists().';
end
$$;
comment on function pgstream.list_tables() is 'add tables that got a replica identity to the publication lists';
