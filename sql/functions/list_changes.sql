-- Which tables the publication lists (pgstream_changes_1..8) lack, and which they must not have.
--
-- A list publishes updates and deletes, and a published table without a usable replica identity makes its
-- user's UPDATE fail. So a table is listed only when it has one: REPLICA IDENTITY FULL, or the index that the
-- server itself would take. A partition tree is listed by its root when the root and every leaf have one, which
-- includes leaves to come, else leaf by leaf. Only the catalogue is read: no lock on any table is needed.
create or replace function pgstream.list_changes(candidates oid[], out enlist oid[], out delist oid[])
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    with recursive member as (
        select r.root, r.root as oid
        from unnest(candidates) as candidate(oid)
        join pg_class as c on c.oid = candidate.oid
        cross join lateral coalesce(pg_partition_root(c.oid)::oid, c.oid) as r(root)
        union
        select m.root, i.inhrelid
        from member as m
        join pg_class as c on c.oid = m.oid and c.relkind = 'p'
        join pg_inherits as i on i.inhparent = m.oid
    ), described as (
        select m.root, m.oid, m.root = m.oid as is_root, c.relkind = 'r' as is_leaf,
               c.relpersistence = 'p' and c.relkind in ('r', 'p')
                   and not pgstream.is_system_schema(c.relnamespace::regnamespace::text) as publishable,
               pgstream.has_identity(c.oid) as usable
        from member as m
        join pg_class as c on c.oid = m.oid
    ), whole as (
        select root from described where is_root or is_leaf
        group by root having bool_and(usable or not publishable) and bool_or(is_root and publishable)
    ), wanted as (
        select root as oid from whole
        union
        select d.oid from described as d
        where d.is_leaf and d.publishable and d.usable and d.root not in (select w.root from whole as w)
    ), listed as (
        select distinct r.prrelid as oid
        from pg_publication_rel as r
        join pg_publication as p on p.oid = r.prpubid and p.pubname like 'pgstream\_changes\__'
        where r.prrelid in (select m.oid from member as m)
    )
    select array(select oid from wanted except select oid from listed),
           array(select d.oid from described as d
                 where d.publishable and (d.is_root or d.is_leaf)
                   and d.root not in (select w.root from whole as w where w.root = d.oid)
                   and not (d.is_leaf and d.usable)
                   -- An old snapshot may not see the list: look into all of them.
                   and (d.oid in (select l.oid from listed as l)
                        or current_setting('transaction_isolation') <> 'read committed'))
    into enlist, delist;
end
$$;
comment on function pgstream.list_changes(oid[]) is 'tables to be added to the publication lists, and tables that must leave them';
