create or replace function pgstream.domain_definition(domain oid) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ',
        format('create domain %s as %s', format_type(t.oid, null), format_type(t.typbasetype, t.typtypmod)),
        (select format('collate %I.%I', n.nspname, o.collname)
         from pg_collation as o join pg_namespace as n on n.oid = o.collnamespace join pg_type as b on b.oid = t.typbasetype
         where o.oid = t.typcollation and t.typcollation <> b.typcollation),
        'default ' || coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)),
        case when t.typnotnull then 'not null' end,
        (select string_agg(format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), ' ' order by k.conname)
         from pg_constraint as k where k.contypid = t.oid and k.contype = 'c'))
    from pg_type as t where t.oid = domain
$$;
comment on function pgstream.domain_definition(oid) is 'CREATE DOMAIN';
