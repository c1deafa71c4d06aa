create or replace function pgstream.snapshot_table_names_hash(table_names text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
as $$
    select md5(array_to_string(table_names, chr(10), ''))
$$;
comment on function pgstream.snapshot_table_names_hash(text[]) is 'index key for a list of table names of any length';
