-- With a parent: only what a partition has besides what it takes from there.
create or replace function pgstream.column_clauses(relation oid, parent oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select string_agg(concat_ws(' ',
            quote_ident(a.attname),
            case when parent is null then format_type(a.atttypid, a.atttypmod) else 'with options' end,
            case when parent is null then
                case to_jsonb(a) ->> 'attcompression' when 'p' then 'compression pglz' when 'l' then 'compression lz4' end end,
            case when parent is null and a.attcollation <> t.typcollation then
                (select format('collate %I.%I', n.nspname, o.collname)
                 from pg_collation as o join pg_namespace as n on n.oid = o.collnamespace where o.oid = a.attcollation) end,
            case when a.attgenerated <> '' then case when parent is null then
                     format('generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid)) end
                 when d.adbin is not null then 'default ' || pg_get_expr(d.adbin, d.adrelid) end,
            case when a.attidentity <> '' then (
                select format('generated %s as identity (sequence name %s %s)',
                              case a.attidentity when 'a' then 'always' else 'by default' end,
                              s.objid::regclass, pgstream.sequence_options(s.objid))
                from pg_depend as s
                where s.classid = 'pg_class'::regclass and s.refclassid = 'pg_class'::regclass
                  and s.refobjid = a.attrelid and s.refobjsubid = a.attnum and s.deptype = 'i') end,
            case when a.attnotnull and a.attidentity = '' then 'not null' end), ', ' order by a.attnum)
        from pg_attribute as a
        join pg_type as t on t.oid = a.atttypid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        left join pg_attribute as pa on pa.attrelid = parent and pa.attname = a.attname and not pa.attisdropped
        left join pg_attrdef as pd on pd.adrelid = parent and pd.adnum = pa.attnum
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
          and case when parent is null then a.attislocal
                   else a.attgenerated = '' and (a.attnotnull and not pa.attnotnull
                        or d.adbin is not null
                           and pg_get_expr(d.adbin, d.adrelid) is distinct from pg_get_expr(pd.adbin, pd.adrelid)) end);
end
$$;
comment on function pgstream.column_clauses(oid, oid) is 'column part of table_definition()';
