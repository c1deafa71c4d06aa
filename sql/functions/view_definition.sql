create or replace function pgstream.view_definition(relation oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format('create %sview %s%s%s%s as %s%s',
            case when c.relkind = 'm' then 'materialized ' end,
            c.oid::regclass,
            (select format(' using %I', a.amname) from pg_am as a where a.oid = c.relam and a.amname <> 'heap'),
            ' with (' || pgstream.storage_options(c.oid) || ')',
            (select format(' tablespace %I', s.spcname) from pg_tablespace as s where s.oid = c.reltablespace),
            rtrim(btrim(pg_get_viewdef(c.oid)), ';'),
            case when c.relkind = 'm' and not c.relispopulated then ' with no data' end)
        from pg_class as c where c.oid = relation);
end
$$;
comment on function pgstream.view_definition(oid) is 'CREATE VIEW or CREATE MATERIALIZED VIEW';
