-- Step 2. A table made in a transaction older than the publications was not listed by its event trigger, and
-- step 3 does not see it before that transaction has ended.
create or replace function pgstream.setup_blockers(before xid8)
    returns table (pid int, xid text, query text, since timestamptz)
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
    select a.pid, running::text, a.query, a.xact_start
    from pg_snapshot_xip(pg_current_snapshot()) as running
    join pg_stat_activity as a on a.backend_xid = xid(running)
    where running < before and a.datname = current_database() and a.pid <> pg_backend_pid()
    union all
    select null, running::text, 'prepared transaction ' || p.gid, p.prepared
    from pg_snapshot_xip(pg_current_snapshot()) as running
    join pg_prepared_xacts as p on p.transaction = xid(running)
    where running < before and p.database = current_database()
$$;
comment on function pgstream.setup_blockers(xid8) is 'step 2 of setting up: transactions to wait for';
