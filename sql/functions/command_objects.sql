create or replace function pgstream.command_objects() returns jsonb
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, MDY'
    set intervalstyle = 'postgres'
    set timezone = 'UTC'
    set extra_float_digits = 3
    set bytea_output = 'hex'
    set quote_all_identifiers = off
as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
            'tag', c.tag,
            'type', lower(c.type),
            'identity', c.identity,
            'schema', coalesce(c.schema, n.nspname),
            'name', case c.classid when 'pg_type'::regclass then (select y.typname from pg_type as y where y.oid = c.objid)
                                   else a.object_names[cardinality(a.object_names)] end,
            'oid', c.objid,
            'pgstream_id', case when c.classid = 'pg_class'::regclass and t.relkind in ('r', 'p') and c.relation = c.objid then
                (select ids.id || case when c.objsubid > 0 then '-' || c.objsubid else '' end
                 from pgstream.create_table_mapping(c.objid) as ids(id)) end,
            'dropped', false,
            'definition', case when c.tag = 'COMMENT' then pgstream.comment_definition(c.classid, c.objid, c.objsubid)
                               when c.tag = 'ALTER SEQUENCE' then pgstream.sequence_definition(c.objid, c.tag)
                               else pgstream.object_definition(c.classid, c.objid, c.objsubid) end,
            'owner', pgstream.object_owner(c.classid, coalesce(c.relation, c.objid))) order by c.nth), '[]')
        from (
            -- The server reports an object once for each part of the command: CREATE TABLE, ALTER TABLE for a foreign key.
            select distinct on (first.classid, first.objid, first.objsubid, first.tag = 'ALTER SEQUENCE',
                                case when first.objid is null then first.nth end) first.*
            from pgstream.captured_commands() as first
            order by first.classid, first.objid, first.objsubid, first.tag = 'ALTER SEQUENCE',
                     case when first.objid is null then first.nth end, first.nth
        ) as c
        left join pg_class as t on t.oid = c.relation
        left join pg_namespace as n on n.oid = t.relnamespace
        left join lateral pg_identify_object_as_address(c.classid, c.objid, c.objsubid) as a on true);
end
$$;
comment on function pgstream.command_objects() is 'objects that the running DDL command made or changed, as ddl_log.objects has them';
