-- What the running command dropped, without what nobody would name (row and array types, toast tables, defaults,
-- the rules of views, the triggers of foreign keys, parts of operator classes) and what is never captured. The server does
-- not tell members of a dropped extension from what users made with them: of those only relations and their parts.
create or replace function pgstream.dropped_objects() returns jsonb
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
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
        cross join (select bool_or(e.object_type = 'extension') as dropped
                    from pg_event_trigger_dropped_objects() as e) as extension
        where not d.is_temporary
          and d.object_type not in ('default value', 'toast table', 'toast table column', 'subscription',
                                    'function of access method', 'operator of access method')
          and d.object_type not like 'publication%'
          and not coalesce(pgstream.is_system_schema(d.schema_name), false)
          and not (cardinality(d.address_names) > 2 and pgstream.is_system_schema(d.address_names[1]))
          and (d.original
               or not (d.object_type = 'type' and not d.normal
                       or d.object_type = 'rule' and d.object_identity like '"\_RETURN" on %'
                       or d.object_type = 'trigger' and d.object_identity like '%RI\_ConstraintTrigger\_%'
                       or extension.dropped
                          and d.object_type not in ('table', 'table column', 'table constraint', 'index', 'sequence', 'view',
                                                    'materialized view', 'foreign table', 'trigger', 'rule', 'policy')))
          and not (d.object_type = 'schema' and pgstream.is_system_schema(d.object_name)));
end
$$;
comment on function pgstream.dropped_objects() is 'objects that the running DDL command dropped (event triggers on sql_drop only)';
