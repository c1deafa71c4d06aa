create or replace function pgstream.get_schema(schema_name text, detailed boolean default false) returns jsonb
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    relations constant oid[] := array(
        select c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = get_schema.schema_name and c.relkind in ('r', 'p'));
begin
    return jsonb_build_object('tables', (
            select jsonb_agg(pgstream.schema_table(t)
                             || case when detailed then pgstream.table_details((t ->> 'oid')::oid, t) else '{}' end
                             order by (t ->> 'oid')::oid)
            from pgstream.get_tables(relations) as t))
        || case when detailed then pgstream.schema_details(schema_name) else '{}' end;
end
$$;
comment on function pgstream.get_schema(text, boolean) is
    'document of a schema, computed from the catalogue; detailed: with indexes, constraints, sequences, materialized views';
