create or replace function pgstream.tables_without_identity() returns setof regclass
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass from pg_class as c
    where c.relkind = 'r' and c.relpersistence = 'p' and not pgstream.has_identity(c.oid)
      and not pgstream.is_system_schema(c.relnamespace::regnamespace::text)
    order by c.oid::regclass::text
$$;
comment on function pgstream.tables_without_identity() is 'tables whose updates and deletes cannot be captured';
