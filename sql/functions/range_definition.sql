create or replace function pgstream.range_definition(range oid) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select format('create type %s as range (%s)', format_type(r.rngtypid, null), concat_ws(', ',
        'subtype = ' || format_type(r.rngsubtype, null),
        (select format('subtype_opclass = %I.%I', n.nspname, o.opcname)
         from pg_opclass as o join pg_namespace as n on n.oid = o.opcnamespace where o.oid = r.rngsubopc),
        (select format('collation = %I.%I', n.nspname, o.collname)
         from pg_collation as o join pg_namespace as n on n.oid = o.collnamespace where o.oid = r.rngcollation),
        'canonical = ' || nullif(r.rngcanonical, 0)::regproc,
        'subtype_diff = ' || nullif(r.rngsubdiff, 0)::regproc,
        'multirange_type_name = ' || format_type((to_jsonb(r) ->> 'rngmultitypid')::oid, null)))
    from pg_range as r where r.rngtypid = range
$$;
comment on function pgstream.range_definition(oid) is 'CREATE TYPE .. AS RANGE';
