create or replace function pgstream.sequence_options(sequence oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format('increment by %s minvalue %s maxvalue %s start with %s cache %s %scycle', s.seqincrement,
                      s.seqmin, s.seqmax, s.seqstart, s.seqcache, case when not s.seqcycle then 'no ' end)
        from pg_sequence as s where s.seqrelid = sequence);
end
$$;
comment on function pgstream.sequence_options(oid) is 'options of a sequence as CREATE SEQUENCE takes them';
