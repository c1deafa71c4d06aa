create or replace function pgstream.table_pattern(pattern text) returns text[]
    language plpgsql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
declare
    parts text[];
begin
    -- parse_ident knows quoting and case, but not the star
    select array_agg(case when p = 'any table' then '*' else p end order by nth) into parts
    from unnest(parse_ident(regexp_replace(pattern, '(^|\.)\*(?=\.|$)', '\1"any table"', 'g'))) with ordinality as i(p, nth);
    if cardinality(parts) > 2 then
        raise exception 'table "%" has too many parts', pattern using errcode = 'invalid_name', hint = 'Use schema.table.';
    end if;
    return parts;
end
$$;
comment on function pgstream.table_pattern(text) is 'the parts of schema.table, where each may be a star';
