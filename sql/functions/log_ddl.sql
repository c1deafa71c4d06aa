-- The only writer of ddl_log. Any role may call this, so nothing it is told is believed that could harm:
-- the text of the statement is asked for here, the objects come from the server, which answers only
-- while a DDL command runs, and a role counts only if the session could become it anyway.
create or replace function pgstream.log_ddl(event text, tag text, invoker text, path text) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
    -- A handful of catalogue rows by oid; not knowing how few, the planner would hash whole catalogues.
    set plan_cache_mode = force_generic_plan
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_seqscan = off
    set jit = off
as $$
declare
    statement record := pgstream.ddl_text();
    touched   oid[];
    held      record;
    objects   jsonb;
    described jsonb;
    failure   text;
begin
    if event = 'sql_drop' then
        if not pgstream.in_extension_script(path) then
            perform pgstream.hold_dropped(statement.depth);
        end if;
        return;
    elsif event = 'table_rewrite' then
        perform pgstream.hold_rewrite(statement.depth);
        return;
    end if;

    touched := pgstream.touched_tables(); -- an error where no DDL command runs
    held := pgstream.take_pending(statement.depth, touched);
    objects := nullif(held.objects, '[]');
    begin
        described := pgstream.describe_tables(touched || held.tables);
        objects := nullif(held.objects || pgstream.command_objects(), '[]');
    exception when others then
        failure := sqlerrm;
    end;

    if current_setting('pgstream.skip_log', true) = 'TRUE' then
        insert into pgstream.stale_schemas (schema_name)
        select d ->> 'schema' from jsonb_array_elements(described) as d union select unnest(held.schemas);
        return;
    end if;
    if objects is null and failure is null
       or statement.exact and tag in ('GRANT', 'REVOKE') and statement.sql ~* '\mpgstream"?\s*\.|\mschema\s+"?pgstream\M' then
        return; -- of a GRANT the server does not tell the object
    end if;

    insert into pgstream.ddl_log (command_tag, sql, exact, depth, role, search_path, settings, objects, tables, rewrite, error)
    values (tag, statement.sql, statement.exact, statement.depth,
            coalesce(statement.role, pgstream.trusted_role(invoker, objects)), path, pgstream.ddl_settings(),
            objects, described, held.rewrite, coalesce(failure, pgstream.unseen(described)));

    if failure is null then
        begin
            perform pgstream.log_documents(tag, described, held.objects, held.schemas);
            return;
        exception when others then
            raise warning 'pgstream could not log the schema after %: %', tag, sqlerrm;
        end;
    end if;
    insert into pgstream.stale_schemas (schema_name)
    select n.nspname from pg_namespace as n where not pgstream.is_system_schema(n.nspname::text);
end
$$;
comment on function pgstream.log_ddl(text, text, text, text) is 'called by the event triggers: record the running DDL command';
