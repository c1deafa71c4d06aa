-- Adds tables to a publication list that no open transaction has changed. ALTER PUBLICATION locks a list until
-- commit; an advisory lock on its number tells which is free. With all eight taken one has to wait.
create or replace function pgstream.enlist(tables oid[]) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    key     constant int := hashtext('pgstream_changes');
    home    constant int := pg_backend_pid() % 8;
    list    int;
    relation regclass;
begin
    for step in 0 .. 7 loop
        list := 1 + (home + step) % 8;
        exit when pg_try_advisory_xact_lock(key, list);
        list := null;
    end loop;
    if list is null then
        list := 1 + home;
        perform pg_advisory_xact_lock(key, list);
    end if;

    foreach relation in array tables loop
        begin
            execute format('alter publication %I add table only %s', 'pgstream_changes_' || list, relation);
        exception
            when undefined_object or undefined_table then null; -- no such list here, or the table is gone
            when duplicate_object then null; -- an old snapshot did not see that it is listed
        end;
    end loop;
end
$$;
comment on function pgstream.enlist(oid[]) is 'publish updates and deletes of tables';
