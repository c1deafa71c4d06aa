create or replace function pgstream.xid_pid(id pgstream.xid) returns int
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select (b[8] << 8) + b[9] from pgstream.xid_decode(id) as b
$$;
comment on function pgstream.xid_pid(pgstream.xid) is 'low 16 bits of the process that made an identifier';
