-- Step 3. Takes four of the eight lists at most: DDL that runs meanwhile finds another one. A user's DDL holds its
-- table, then wants a list; here it is the other way round, so locks are only waited for shortly, and all
-- are given back before the next attempt.
create or replace function pgstream.setup_lists(replica_identity_full boolean default false) returns integer
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '300ms'
as $$
declare
    added integer;
begin
    for attempt in 1 .. 100 loop
        begin
            if replica_identity_full then
                perform pgstream.setup_identities();
            end if;
            added := pgstream.fill_lists();
            return added;
        exception when lock_not_available or deadlock_detected or undefined_table then
            perform pg_sleep(0.02 * least(attempt, 10));
        end;
    end loop;
    raise exception 'the publication lists could not be filled: a table stays locked' using errcode = 'lock_not_available',
        hint = 'Look for long transactions in pg_stat_activity and pg_locks, then run it again.';
end
$$;
comment on function pgstream.setup_lists(boolean) is
    'step 3 of setting up: publish updates and deletes of all tables that have a replica identity; answers how many were added';
