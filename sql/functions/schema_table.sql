create or replace function pgstream.schema_table(described jsonb) returns jsonb
    language plpgsql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_build_object(
            'oid', described -> 'oid',
            'pgstream_id', described -> 'pgstream_id',
            'name', described -> 'name',
            'columns', coalesce(
                (select jsonb_agg(jsonb_build_object(
                            'pgstream_id', c -> 'pgstream_id',
                            'name', c -> 'name',
                            'type', c -> 'type',
                            'default', c -> 'default',
                            'nullable', c -> 'nullable',
                            'generated', c -> 'generated',
                            'unique', c -> 'unique',
                            'metadata', c -> 'comment') order by position)
                 from jsonb_array_elements(described -> 'columns') with ordinality as a(c, position)), '[]'),
            'primary_key_columns', described -> 'primary_key_columns'));
end
$$;
comment on function pgstream.schema_table(jsonb) is 'a table of get_tables() in the shape of a schema document';
