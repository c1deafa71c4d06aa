create or replace function pgstream.is_system_schema(schema_name text) returns boolean
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select schema_name in ('pgstream', 'pgstream_sink', 'pgroll', 'pg_catalog', 'information_schema')
        or schema_name like 'pg\_temp%'
        or schema_name like 'pg\_toast%'
$$;
comment on function pgstream.is_system_schema(text) is 'schemas that are never captured';
