-- Writes the documents of all schemas that the running command changed.
create or replace function pgstream.log_documents(tag text, described jsonb, dropped jsonb, dropped_from text[]) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    changed record := pgstream.changed_schemas(tag, described);
    gone constant oid[] := array(select (o ->> 'oid')::oid from jsonb_array_elements(dropped) as o where o ->> 'type' = 'table');
    name text;
begin
    for name in
        select d ->> 'schema' from jsonb_array_elements(described) as d
        union select unnest(dropped_from || changed.made || changed.left_behind)
        order by 1
    loop
        if exists (select from pg_namespace as n where n.nspname = name) then
            perform pgstream.log_document(name, described, gone);
        end if;
    end loop;
    for name in
        select o ->> 'name' from jsonb_array_elements(dropped) as o where o ->> 'type' = 'schema'
        union select unnest(changed.renamed)
        order by 1
    loop
        perform pgstream.log_dropped_schema(name);
    end loop;
end
$$;
comment on function pgstream.log_documents(text, jsonb, jsonb, text[]) is
    'one schema_log row for each schema that the running command changed';
