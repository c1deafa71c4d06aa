-- Event trigger on ddl_command_start. The server refuses SET UNLOGGED for a table in a publication, so such a table
-- has to leave its list before; and lists must not stay behind, without upkeep, when pgstream itself is dropped.
-- Runs as the user, whose search_path says which table is meant.
create or replace function pgstream.before_ddl() returns event_trigger
    language plpgsql
as $$
begin
    perform pgstream.release(tg_tag, pg_catalog.current_schemas(true));
exception when others then
    raise warning 'pgstream could not prepare for %: %', tg_tag, sqlerrm;
end
$$;
comment on function pgstream.before_ddl() is 'make way for commands that the publication lists would stop, or that drop pgstream';
