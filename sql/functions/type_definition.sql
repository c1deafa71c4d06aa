create or replace function pgstream.type_definition(type oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case t.typtype
            when 'e' then format('create type %s as enum (%s)', format_type(t.oid, null),
                (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid))
            when 'd' then pgstream.domain_definition(t.oid)
            when 'r' then pgstream.range_definition(t.oid)
            when 'c' then (
                select format('create type %s as (%s)', format_type(t.oid, null), string_agg(
                    format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
                        || coalesce((select format(' collate %I.%I', n.nspname, o.collname)
                                     from pg_collation as o join pg_namespace as n on n.oid = o.collnamespace
                                     where o.oid = a.attcollation and a.attcollation <> b.typcollation), ''), ', ' order by a.attnum))
                from pg_class as c
                left join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                left join pg_type as b on b.oid = a.atttypid
                where c.oid = t.typrelid and c.relkind = 'c')
        end
        from pg_type as t where t.oid = type);
end
$$;
comment on function pgstream.type_definition(oid) is 'CREATE TYPE or CREATE DOMAIN for enums, composites, ranges and domains';
