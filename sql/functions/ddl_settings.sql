create or replace function pgstream.ddl_settings() returns jsonb
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_object_agg(name, current_setting(name))
        from unnest(array['DateStyle', 'IntervalStyle', 'TimeZone', 'standard_conforming_strings', 'check_function_bodies',
                          'default_tablespace', 'default_table_access_method', 'xmloption', 'bytea_output',
                          'backslash_quote', 'array_nulls', 'transform_null_equals', 'default_toast_compression']) as s(name)
        where current_setting(name, true) is not null);
end
$$;
comment on function pgstream.ddl_settings() is 'settings that change the meaning of the text of a statement';
