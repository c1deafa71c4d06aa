create or replace function pgstream.table_details(relation oid, described jsonb) returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'columns', (
            select jsonb_agg(c || jsonb_build_object('generated_kind', a.attgenerated, 'identity', a.attidentity) order by nth)
            from jsonb_array_elements(pgstream.schema_table(described) -> 'columns') with ordinality as e(c, nth)
            join pg_attribute as a on a.attrelid = relation and a.attname = c ->> 'name'),
        'indexes', pgstream.index_list(relation),
        'constraints', (
            select jsonb_agg(jsonb_build_object(
                'name', k.conname, 'type', case k.contype when 'u' then 'UNIQUE' else 'CHECK' end,
                'definition', pg_get_constraintdef(k.oid)) order by k.conname)
            from pg_constraint as k where k.conrelid = relation and k.contype in ('u', 'c')),
        'foreign_keys', (
            select jsonb_agg(jsonb_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid)) order by k.conname)
            from pg_constraint as k where k.conrelid = relation and k.contype = 'f'))
$$;
comment on function pgstream.table_details(oid, jsonb) is 'what a detailed get_schema() says of a table besides';
