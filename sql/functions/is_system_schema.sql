-- Without a search_path of its own, so that queries can take it in; its operator is qualified instead.
create or replace function pgstream.is_system_schema(schema_name text) returns boolean
    language sql immutable strict
as $$
    select schema_name operator(pg_catalog.~) '^(pgstream|pgstream_sink|pgroll|pg_catalog|information_schema|pg_(temp|toast).*)$'
$$;
comment on function pgstream.is_system_schema(text) is 'schemas that are never captured';
