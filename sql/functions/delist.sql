-- Takes tables out of their publication lists. Here the list cannot be chosen. When an open transaction has
-- changed it, the table is not waited for: what has lost its replica identity gets REPLICA IDENTITY FULL, so that
-- its updates neither fail nor get lost.
create or replace function pgstream.delist(tables oid[]) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    key  constant int := hashtext('pgstream_changes');
    item record;
begin
    for item in
        select t.oid::regclass as relation, list
        from unnest(tables) as t(oid), generate_series(1, 8) as list
        where current_setting('transaction_isolation') <> 'read committed'
           or exists (select from pg_publication_rel as r
                      join pg_publication as p on p.oid = r.prpubid
                      where r.prrelid = t.oid and p.pubname = 'pgstream_changes_' || list)
    loop
        if pg_try_advisory_xact_lock(key, item.list) then
            begin
                execute format('alter publication %I drop table only %s', 'pgstream_changes_' || item.list, item.relation);
            exception when undefined_object or undefined_table then null; -- an old snapshot sees lists that are not
            end;
        else
            perform pgstream.give_identity(item.relation);
        end if;
    end loop;
end
$$;
comment on function pgstream.delist(oid[]) is 'stop publishing updates and deletes of tables';
