-- Tables that lost a column or a constraint but are still there. The table of a dropped index is not
-- told by the server; it is among those that this transaction has locked.
create or replace function pgstream.tables_after_drop(dropped jsonb) returns oid[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with object as (
            select o ->> 'type' as type, o -> 'names' ->> 0 as schema, o -> 'names' ->> 1 as name, (o ->> 'original')::boolean as original
            from jsonb_array_elements(dropped) as o
        ), survivor as (
            select c.oid from object as o
            join pg_namespace as n on n.nspname = o.schema
            join pg_class as c on c.relnamespace = n.oid and c.relname = o.name
            where o.type in ('table column', 'table constraint')
            union
            select l from pgstream.locked_tables() as l
            where exists (select from object as o where o.type = 'index')
        )
        select coalesce(array_agg(c.oid), '{}') from survivor as s
        join pg_class as c on c.oid = s.oid
        where c.relkind in ('r', 'p') and c.relpersistence <> 't'
          and not pgstream.is_system_schema(c.relnamespace::regnamespace::text));
end
$$;
comment on function pgstream.tables_after_drop(jsonb) is 'tables that lost a part to the running DROP and are still there';
