create or replace function pgstream.fill_lists() returns integer
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    key     constant int := hashtext('pgstream_changes');
    lists   int[] := '{}';
    changes record;
    item    record;
begin
    for list in 1 .. 8 loop
        exit when cardinality(lists) = 4;
        if pg_try_advisory_xact_lock(key, list) then
            lists := lists || list;
        end if;
    end loop;
    if lists = '{}' then
        raise exception 'all publication lists are in use' using errcode = 'lock_not_available';
    end if;

    changes := pgstream.list_changes(array(
        select c.oid from pg_class as c
        where c.relkind in ('r', 'p') and c.relpersistence = 'p'
          and not pgstream.is_system_schema(c.relnamespace::regnamespace::text)));
    for item in
        select lists[1 + t.nth % cardinality(lists)] as list, string_agg(format('only %s', t.oid::regclass), ', ') as tables
        from unnest(changes.enlist) with ordinality as t(oid, nth)
        group by 1 order by 1
    loop
        execute format('alter publication %I add table %s', 'pgstream_changes_' || item.list, item.tables);
    end loop;
    perform pgstream.delist(changes.delist);
    return cardinality(changes.enlist);
end
$$;
comment on function pgstream.fill_lists() is 'one attempt of setup_lists()';
