create or replace function pgstream.index_list(relation oid) returns jsonb
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object(
        'name', c.relname,
        'columns', (select coalesce(jsonb_agg(a.attname order by k.position), '[]')
                    from unnest(i.indkey) with ordinality as k(attnum, position)
                    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
                    where k.position <= i.indnkeyatts),
        'unique', i.indisunique,
        'definition', pg_get_indexdef(c.oid)) order by c.relname), '[]')
    from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = relation
$$;
comment on function pgstream.index_list(oid) is 'indexes of a relation, for get_schema()';
