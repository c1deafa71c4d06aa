-- pg_attribute.attmissingval is an array of one element, of any type. Its text is quoted by the rules
-- of that type's own delimiter, so only a comma can be left to the array parser.
create or replace function pgstream.missing_value(stored text, delimiter "char") returns text
    language sql immutable strict
    set search_path = pg_catalog, pg_temp
as $$
    select case when delimiter = ',' then (stored::text[])[1]
                else substr(stored, 2, length(stored) - 2) end
$$;
comment on function pgstream.missing_value(text, "char") is 'the value that rows older than an added column have';
