-- Appends a document: the newest one with the changed tables replaced where that one is known to be
-- complete, else everything from the catalogue.
create or replace function pgstream.log_document(schema_name text, changed jsonb, gone oid[]) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    chosen   record;
    document jsonb;
begin
    chosen := pgstream.next_version(schema_name, 1);
    select l.schema into document from pgstream.schema_log as l
    where l.schema_name = log_document.schema_name and l.version = chosen.base;

    if document is null then
        document := pgstream.get_schema(schema_name);
    else
        document := pgstream.patch_document(
            document,
            (select coalesce(jsonb_agg(pgstream.schema_table(c)), '[]') from jsonb_array_elements(changed) as c
             where c ->> 'schema' = log_document.schema_name),
            gone || array(select (c ->> 'oid')::oid from jsonb_array_elements(changed) as c
                          where c ->> 'schema' <> log_document.schema_name));
    end if;

    loop
        begin
            insert into pgstream.schema_log (version, schema_name, schema)
            values (chosen.version, schema_name, document);
            return;
        exception when unique_violation then
            -- Only an old snapshot does not see a version that is taken: on to the next block.
            chosen := pgstream.next_version(schema_name, ((chosen.version - 1) / 64 + 1) * 64 + 1);
        end;
    end loop;
end
$$;
comment on function pgstream.log_document(text, jsonb, oid[]) is
    'append the next document of a schema, given the tables that changed and the oids that left it';
