create or replace function pgstream.ddl_text(
    out sql text, out exact boolean, out depth integer, out role text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select current_query(), false, 0, null::text
$$;
comment on function pgstream.ddl_text() is
    'text, nesting and role of the running DDL command; without the library only what the client sent';
