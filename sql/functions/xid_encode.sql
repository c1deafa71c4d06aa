create or replace function pgstream.xid_encode(bytes int[]) returns pgstream.xid
    language plpgsql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        -- 96 bits, padded to 100, five at a time
        select string_agg(substr('0123456789abcdefghijklmnopqrstuv', substr(bits, n * 5 + 1, 5)::bit(5)::int + 1, 1), '' order by n)
        from (select string_agg(byte::bit(8)::text, '' order by i) || '0000' as bits
              from unnest(bytes) with ordinality as b(byte, i)) as all_bits,
             generate_series(0, 19) as n);
end
$$;
comment on function pgstream.xid_encode(int[]) is '12 bytes to 20 characters of base32hex';
