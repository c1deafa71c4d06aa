-- Event triggers fire ALWAYS: also in sessions with session_replication_role = replica. Of several for one event the
-- server takes the names in alphabetical order: lists before the log, removals before additions.

do $$
declare
    t record;
begin
    for t in
        select * from (values
            ('pgstream_before_ddl', 'ddl_command_start', 'before_ddl', array['ALTER TABLE', 'DROP EXTENSION', 'DROP SCHEMA']),
            ('pgstream_delist_altered_tables', 'ddl_command_end', 'delist_tables', array['ALTER TABLE']),
            ('pgstream_delist_tables', 'sql_drop', 'delist_tables', null),
            ('pgstream_list_tables', 'ddl_command_end', 'list_tables',
             array['ALTER TABLE', 'CREATE SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO']),
            ('pgstream_log_schema_create_alter_table', 'ddl_command_end', 'log_schema', null),
            ('pgstream_log_schema_drop_schema_table', 'sql_drop', 'log_schema', null),
            ('pgstream_log_schema_rewrite', 'table_rewrite', 'log_schema', null)) as v(name, event, function, tags)
    loop
        if not exists (select from pg_catalog.pg_event_trigger where evtname = t.name) then
            execute pg_catalog.format('create event trigger %I on %s %s execute function pgstream.%I()', t.name, t.event,
                'when tag in (' || (select pg_catalog.string_agg(pg_catalog.quote_literal(tag), ', ')
                                    from pg_catalog.unnest(t.tags) as tag) || ')', t.function);
            -- The trigger that adds to the lists is armed by setup_publications().
            execute pg_catalog.format('alter event trigger %I %s', t.name,
                case when t.name = 'pgstream_list_tables' then 'disable' else 'enable always' end);
        end if;
    end loop;
end
$$;
