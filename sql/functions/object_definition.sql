create or replace function pgstream.object_definition(classid oid, objid oid, objsubid int) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select null::text
$$;
comment on function pgstream.object_definition(oid, oid, int) is 'statement that makes an object as it is now, null when there is no single one';
