create or replace function pgstream.get_table(table_oid oid) returns jsonb
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select pgstream.get_tables(array[table_oid])
$$;
comment on function pgstream.get_table(oid) is 'columns, keys and stable ids of one table, null when there is none';
