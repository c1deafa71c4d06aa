create or replace function pgstream.schema_details(schema_name text) returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'materialized_views', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'oid', c.oid, 'name', c.relname, 'definition', pg_get_viewdef(c.oid),
                'indexes', pgstream.index_list(c.oid)) order by c.oid), '[]')
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = schema_details.schema_name and c.relkind = 'm'),
        'sequences', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'oid', c.oid, 'name', c.relname, 'data_type', format_type(s.seqtypid, null),
                'numeric_precision', case s.seqtypid when 'int2'::regtype then 16 when 'int4'::regtype then 32 else 64 end,
                'numeric_precision_radix', 2, 'numeric_scale', 0,
                'start_value', s.seqstart::text, 'minimum_value', s.seqmin::text, 'maximum_value', s.seqmax::text,
                'increment', s.seqincrement::text, 'cycle_option', case when s.seqcycle then 'YES' else 'NO' end)
                order by c.oid), '[]')
            from pg_sequence as s
            join pg_class as c on c.oid = s.seqrelid
            join pg_namespace as n on n.oid = c.relnamespace
            where n.nspname = schema_details.schema_name))
$$;
comment on function pgstream.schema_details(text) is 'what a detailed get_schema() says of a schema besides its tables';
