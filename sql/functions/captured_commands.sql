-- What the running command did, without what is never captured: temporary objects, pgstream's own,
-- scripts of extensions, publications and subscriptions.
create or replace function pgstream.captured_commands()
    returns table (classid oid, objid oid, objsubid int, tag text, type text, schema text, identity text, relation oid, nth bigint)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select c.classid, c.objid, c.objsubid, c.command_tag, c.object_type, c.schema_name, c.object_identity, r.relation, c.nth
    from pg_event_trigger_ddl_commands() with ordinality
        as c(classid, objid, objsubid, command_tag, object_type, schema_name, object_identity, in_extension, command, nth)
    cross join lateral pgstream.related_table(c.classid, c.objid) as r(relation)
    left join pg_class as t on t.oid = r.relation
    where not c.in_extension
      and c.object_type not like 'publication%'
      and c.object_type <> 'subscription'
      and not coalesce(pgstream.is_system_schema(c.schema_name), false)
      and not coalesce(pgstream.is_system_schema(t.relnamespace::regnamespace::text), false)
      and t.relpersistence is distinct from 't'
      and not (c.object_type = 'schema' and pgstream.is_system_schema(c.object_identity))
      and not (c.object_type = 'extension' and c.object_identity = 'pgstream');
end
$$;
comment on function pgstream.captured_commands() is 'objects that the running DDL command made or changed (event triggers only)';
