create or replace function pgstream.refresh_schema(schema_to_refresh text) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if schema_to_refresh is null or pgstream.is_system_schema(schema_to_refresh) then
        return;
    end if;
    if not exists (select from pg_namespace as n where n.nspname = schema_to_refresh) then
        raise exception 'schema "%" does not exist', schema_to_refresh using errcode = 'invalid_schema_name';
    end if;
    insert into pgstream.stale_schemas (schema_name) values (schema_to_refresh);
    perform pgstream.log_document(schema_to_refresh, '[]', '{}');
    reset pgstream.skip_log;
end
$$;
comment on function pgstream.refresh_schema(text) is 'log a schema as it is now, and log its changes again after pgstream.skip_log';
