-- Tables whose description the running command may have changed: its own, those below them in a tree of
-- partitions or inheritance, those with a column of a changed type, those of a renamed schema.
create or replace function pgstream.touched_tables() returns oid[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with recursive command as materialized (
            select * from pgstream.captured_commands()
        ), touched as (
            select relation as oid, tag <> 'COMMENT' as descend from command
            where classid in ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass)
            union
            select d.objid, true from command as c
            join pg_type as t on t.oid = c.objid
            join pg_depend as d on d.refclassid = 'pg_type'::regclass and d.refobjid in (t.oid, t.typarray)
            where c.classid = 'pg_type'::regclass and c.tag in ('ALTER TYPE', 'ALTER DOMAIN')
              and d.classid = 'pg_class'::regclass and d.objsubid > 0
            union
            select t.oid, false from command as c
            join pg_class as t on t.relnamespace = c.objid
            where c.classid = 'pg_namespace'::regclass and c.tag = 'ALTER SCHEMA'
            union
            select i.inhrelid, true from touched as t join pg_inherits as i on i.inhparent = t.oid
            where t.descend
        )
        select array_agg(distinct c.oid)
        from touched as t
        join pg_class as c on c.oid = t.oid
        where c.relkind in ('r', 'p') and c.relpersistence <> 't'
          and not pgstream.is_system_schema(c.relnamespace::regnamespace::text));
end
$$;
comment on function pgstream.touched_tables() is 'tables that the running DDL command made or changed (event triggers only)';
