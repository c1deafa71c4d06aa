create or replace function pgstream.xid_machine(id pgstream.xid) returns int[]
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select b[5:7] from pgstream.xid_decode(id) as b
$$;
comment on function pgstream.xid_machine(pgstream.xid) is 'the three machine bytes of an identifier';
