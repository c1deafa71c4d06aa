-- What the running command dropped, without what nobody would name: row and array types, toast tables,
-- defaults, the triggers of foreign keys, and what is never captured.
create or replace function pgstream.dropped_objects() returns jsonb
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object(
        'tag', null,
        'type', d.object_type,
        'identity', d.object_identity,
        'schema', coalesce(d.schema_name, case when cardinality(d.address_names) > 2 then d.address_names[1] end),
        'name', coalesce(d.object_name, d.address_names[cardinality(d.address_names)]),
        'names', d.address_names,
        'oid', d.objid,
        'pgstream_id', (select t.id || case when d.objsubid > 0 then '-' || d.objsubid else '' end
                        from pgstream.table_ids as t
                        where d.classid = 'pg_class'::regclass and t.oid = d.objid::bigint),
        'dropped', true,
        'original', d.original,
        'definition', null,
        'owner', null) order by d.nth), '[]')
    from pg_event_trigger_dropped_objects() with ordinality as d(
        classid, objid, objsubid, original, normal, is_temporary, object_type, schema_name, object_name,
        object_identity, address_names, address_args, nth)
    where not d.is_temporary
      and d.object_type not in ('default value', 'toast table', 'toast table column', 'subscription')
      and d.object_type not like 'publication%'
      and not (d.object_type = 'type' and not d.original and not d.normal)
      and not (d.object_type = 'trigger' and not d.original and d.object_identity like '%RI\_ConstraintTrigger\_%')
      and not (d.object_type = 'schema' and pgstream.is_system_schema(d.object_identity))
      and not coalesce(pgstream.is_system_schema(d.schema_name), false)
      and not coalesce(pgstream.is_system_schema(d.address_names[1]) and cardinality(d.address_names) > 2, false)
$$;
comment on function pgstream.dropped_objects() is 'objects that the running DDL command dropped (event triggers on sql_drop only)';
