-- Schemas whose document changes although none of their tables is left in them to say so: just made,
-- or a table was moved away, or the schema itself was renamed.
create or replace function pgstream.changed_schemas(
    tag text, described jsonb, out made text[], out left_behind text[], out renamed text[])
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    if tag in ('CREATE SCHEMA', 'ALTER SCHEMA') then
        made := array(select n.nspname::text from pgstream.captured_commands() as c
                      join pg_namespace as n on n.oid = c.objid
                      where c.classid = 'pg_namespace'::regclass);
    end if;
    if tag = 'ALTER SCHEMA' then
        renamed := array(
            select newest.schema_name
            from (select distinct on (l.schema_name) l.schema_name, l.schema ? 'dropped' as dropped
                  from pgstream.schema_log as l order by l.schema_name, l.version desc) as newest
            where not newest.dropped
              and not exists (select from pg_namespace as n where n.nspname = newest.schema_name));
    end if;
    if tag = 'ALTER TABLE' then
        left_behind := array(
            select n.nspname::text
            from pg_namespace as n
            cross join lateral (
                select l.schema from pgstream.schema_log as l
                where l.schema_name = n.nspname::text order by l.version desc limit 1) as newest
            where exists (
                select from jsonb_array_elements(described) as d
                where d ->> 'schema' <> n.nspname::text
                  and newest.schema @> jsonb_build_object('tables', jsonb_build_array(jsonb_build_object('oid', d -> 'oid')))));
    end if;
end
$$;
comment on function pgstream.changed_schemas(text, jsonb) is
    'schemas made by the running command, those that a table was moved out of, and the old name of a renamed one';
