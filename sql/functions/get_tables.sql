-- The one query that describes tables. Values are printed in the style that the replication
-- connection uses, whatever the session of the user has set.
create or replace function pgstream.get_tables(relations oid[]) returns setof jsonb
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY'
    set intervalstyle = 'postgres'
    set timezone = 'UTC'
    set extra_float_digits = 3
    set bytea_output = 'hex'
as $$
begin
    return query
    select jsonb_build_object(
        'oid', c.oid,
        'pgstream_id', ids.id,
        'schema', n.nspname,
        'name', c.relname,
        'kind', c.relkind,
        'columns', coalesce(
            (select jsonb_agg(jsonb_build_object(
                        'attnum', a.attnum,
                        'pgstream_id', ids.id::text || '-' || a.attnum,
                        'name', a.attname,
                        'type', format_type(a.atttypid, a.atttypmod),
                        'nullable', not (a.attnotnull or (t.typtype = 'd' and t.typnotnull)),
                        'default', pg_get_expr(d.adbin, d.adrelid),
                        'generated', a.attgenerated <> '',
                        'identity', case a.attidentity when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT' end,
                        'unique', exists (
                            select from pg_index as i
                            where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null
                              and i.indnkeyatts = 1 and i.indkey[0] = a.attnum),
                        'stored', case when a.atthasmissing then pgstream.missing_value(a.attmissingval::text, t.typdelim) end,
                        'comment', col_description(c.oid, a.attnum)) order by a.attnum)
             from pg_attribute as a
             join pg_type as t on t.oid = a.atttypid
             left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]'),
        'primary_key_columns', coalesce(
            (select jsonb_agg(a.attname order by k.position)
             from pg_index as i
             cross join lateral unnest(i.indkey) with ordinality as k(attnum, position)
             join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where i.indrelid = c.oid and i.indisprimary and k.position <= i.indnkeyatts), '[]'))
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    cross join lateral pgstream.create_table_mapping(c.oid) as ids(id)
    where c.oid = any (relations) and c.relkind in ('r', 'p')
    order by c.oid;
end
$$;
comment on function pgstream.get_tables(oid[]) is 'columns, keys and stable ids of tables, as ddl_log.tables has them';
