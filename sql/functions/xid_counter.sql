create or replace function pgstream.xid_counter(id pgstream.xid) returns int
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select (b[10] << 16) + (b[11] << 8) + b[12] from pgstream.xid_decode(id) as b
$$;
comment on function pgstream.xid_counter(pgstream.xid) is 'counter part of an identifier';
