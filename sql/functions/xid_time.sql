create or replace function pgstream.xid_time(id pgstream.xid) returns timestamptz
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select to_timestamp((b[1]::bigint << 24) + (b[2] << 16) + (b[3] << 8) + b[4])
    from pgstream.xid_decode(id) as b
$$;
comment on function pgstream.xid_time(pgstream.xid) is 'second in which an identifier was made';
