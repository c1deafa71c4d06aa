-- Event triggers fire ALWAYS: also in sessions with session_replication_role = replica.

do $$
declare
    t record;
begin
    for t in
        select * from (values
            ('pgstream_log_schema_create_alter_table', 'ddl_command_end', 'log_schema'),
            ('pgstream_log_schema_drop_schema_table', 'sql_drop', 'log_schema'),
            ('pgstream_log_schema_rewrite', 'table_rewrite', 'log_schema')) as v(name, event, function)
    loop
        if not exists (select from pg_catalog.pg_event_trigger where evtname = t.name) then
            execute pg_catalog.format('create event trigger %I on %s execute function pgstream.%I()', t.name, t.event, t.function);
            execute pg_catalog.format('alter event trigger %I enable always', t.name);
        end if;
    end loop;
end
$$;
