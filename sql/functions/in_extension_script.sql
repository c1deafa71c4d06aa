-- The server marks what an extension's script makes, not what it drops. A script runs with function bodies
-- unchecked and a search_path of its own; both are gone with the next statement of the client.
create or replace function pgstream.in_extension_script(path text) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select current_setting('check_function_bodies') = 'off'
       and path like '%, pg\_temp'
       and exists (select from pg_extension as e where pg_xact_status(e.xmin::text::xid8) = 'in progress')
$$;
comment on function pgstream.in_extension_script(text) is 'whether the running command belongs to the script of an extension';
