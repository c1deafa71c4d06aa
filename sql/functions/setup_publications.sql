-- Step 1. Inserts and truncates of all tables, and eight lists for updates and deletes: ALTER PUBLICATION locks
-- a list until commit, so that concurrent migrations each need one of their own.
create or replace function pgstream.setup_publications() returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_publication where pubname = 'pgstream_inserts') then
        create publication pgstream_inserts for all tables with (publish = 'insert, truncate');
    end if;
    for list in 1 .. 8 loop
        if not exists (select from pg_publication where pubname = 'pgstream_changes_' || list) then
            execute format('create publication %I with (publish = %L)', 'pgstream_changes_' || list, 'update, delete');
        end if;
    end loop;
    alter event trigger pgstream_list_tables enable always;
end
$$;
comment on function pgstream.setup_publications() is 'step 1 of setting up: make what is missing and keep the lists filled';
