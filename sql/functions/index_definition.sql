-- The index of a constraint comes with the constraint, the index of a partition with that of its parent.
create or replace function pgstream.index_definition(index oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select pg_get_indexdef(c.oid) from pg_class as c
        where c.oid = index and not c.relispartition
          and not exists (select from pg_depend as d
                          where d.classid = 'pg_class'::regclass and d.objid = c.oid
                            and d.refclassid = 'pg_constraint'::regclass and d.deptype = 'i'));
end
$$;
comment on function pgstream.index_definition(oid) is 'CREATE INDEX';
