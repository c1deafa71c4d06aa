-- The server does not tell which table a dropped index or a detached partition belonged to, but this transaction
-- must have locked it.
create or replace function pgstream.locked_tables() returns setof oid
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select distinct l.relation
    from pg_locks as l
    join pg_class as c on c.oid = l.relation
    where l.locktype = 'relation' and l.pid = pg_backend_pid() and l.granted
      and l.mode in ('AccessExclusiveLock', 'ShareUpdateExclusiveLock')
      and c.relkind in ('r', 'p');
end
$$;
comment on function pgstream.locked_tables() is 'tables that this transaction has locked as DDL does';
