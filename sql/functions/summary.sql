create or replace function pgstream.summary(items text[]) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
as $$
    select case when cardinality(items) = 0 then 'none'
                else array_to_string(items[1:10], ', ')
                  || case when cardinality(items) > 10 then format(' and %s more', cardinality(items) - 10) else '' end end
$$;
comment on function pgstream.summary(text[]) is 'the first names of a list, and how many there are besides';
