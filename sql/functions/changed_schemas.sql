-- Schemas whose document changes although none of their tables is there to say so: just made, or a table was
-- moved out, or the schema was renamed. What was before is known from the newest documents: a table that its
-- schema's document does not know may have come from another.
create or replace function pgstream.changed_schemas(
    tag text, described jsonb, out made text[], out left_behind text[], out renamed text[])
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    newcomers text[];
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
        newcomers := array(select d ->> 'oid' from jsonb_array_elements(described) as d
                           where not pgstream.is_documented(d ->> 'schema', d ->> 'oid'));
        if newcomers <> '{}' then
            left_behind := array(
                select n.nspname::text from pg_namespace as n
                where exists (select from unnest(newcomers) as o where pgstream.is_documented(n.nspname::text, o)));
        end if;
    end if;
end
$$;
comment on function pgstream.changed_schemas(text, jsonb) is
    'schemas made by the running command, those that a table was moved out of, and the old name of a renamed one';
