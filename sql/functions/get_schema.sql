create or replace function pgstream.get_schema(schema_name text) returns jsonb
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('tables', (
        select jsonb_agg(pgstream.schema_table(t) order by (t ->> 'oid')::oid)
        from pgstream.get_tables(array(
            select c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = get_schema.schema_name and c.relkind in ('r', 'p'))) as t))
$$;
comment on function pgstream.get_schema(text) is 'document of a schema, computed from the catalogue';
