create or replace function pgstream.is_documented(schema_name text, table_oid text) returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select jsonb_path_exists(l.schema, '$.tables[*] ? (@.oid == $oid)', jsonb_build_object('oid', table_oid))
        from pgstream.schema_log as l
        where l.schema_name = is_documented.schema_name order by l.version desc limit 1), false);
end
$$;
comment on function pgstream.is_documented(text, text) is 'whether the newest document of a schema has a table';
