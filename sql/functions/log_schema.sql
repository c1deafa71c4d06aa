-- The event trigger. It runs as whoever runs the DDL, with the search_path of the statement, which is what
-- there is to record; so nothing in it may depend on either. No failure here reaches the user.
create or replace function pgstream.log_schema() returns event_trigger
    language plpgsql
as $$
begin
    perform pgstream.log_ddl(tg_event, tg_tag, current_user::pg_catalog.text, pg_catalog.current_setting('search_path'));
exception when others then
    raise warning 'pgstream could not record % (%): %', tg_tag, tg_event, sqlerrm
        using hint = 'Run select pgstream.refresh_schema(..) for the schema.';
end
$$;
comment on function pgstream.log_schema() is 'records every DDL command; warns and lets it pass when it cannot';
