create or replace function pgstream.xid_decode(id pgstream.xid) returns int[]
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select array_agg(substr(bits, n * 8 + 1, 8)::bit(8)::int order by n)
    from (select string_agg((strpos('0123456789abcdefghijklmnopqrstuv', c) - 1)::bit(5)::text, '' order by i) as bits
          from regexp_split_to_table(id::text, '') with ordinality as t(c, i)) as all_bits,
         generate_series(0, 11) as n
$$;
comment on function pgstream.xid_decode(pgstream.xid) is '20 characters of base32hex to 12 bytes';
