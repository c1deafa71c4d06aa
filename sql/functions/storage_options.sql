create or replace function pgstream.storage_options(relation oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select string_agg(format('%s%s=%L', prefix, o.option_name, o.option_value), ', ')
        from (select '' as prefix, c.reloptions from pg_class as c where c.oid = relation
              union all
              select 'toast.', t.reloptions
              from pg_class as c join pg_class as t on t.oid = c.reltoastrelid where c.oid = relation) as r
        cross join lateral pg_options_to_table(r.reloptions) as o);
end
$$;
comment on function pgstream.storage_options(oid) is 'WITH options of a relation and its toast table, null when there are none';
