create or replace function pgstream.setup_identities() returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    relation regclass;
begin
    for relation in
        select c.oid from pg_class as c
        where c.relkind in ('r', 'p') and c.relpersistence = 'p' and not pgstream.has_identity(c.oid)
          and not pgstream.is_system_schema(c.relnamespace::regnamespace::text)
        order by c.oid
    loop
        execute format('alter table only %s replica identity full', relation);
    end loop;
end
$$;
comment on function pgstream.setup_identities() is 'set REPLICA IDENTITY FULL on every table that has no usable identity';
