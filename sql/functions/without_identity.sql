create or replace function pgstream.without_identity(relation oid) returns setof oid
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    with recursive member as (
        select relation as oid, true as is_root
        union
        select i.inhrelid, false
        from member as m
        join pg_class as c on c.oid = m.oid and c.relkind = 'p'
        join pg_inherits as i on i.inhparent = m.oid
    )
    select c.oid from member as m join pg_class as c on c.oid = m.oid
    where c.relpersistence = 'p' and (c.relkind = 'r' or c.relkind = 'p' and m.is_root)
      and not pgstream.has_identity(c.oid)
$$;
comment on function pgstream.without_identity(oid) is 'a table, or the leaves of a partitioned one, as far as they lack a usable replica identity';
