-- Nobody but the owner may do anything here, except what every DDL statement of every role needs.

grant usage on schema pgstream to public;
revoke all on all tables in schema pgstream from public;
revoke all on all sequences in schema pgstream from public;
revoke execute on all functions in schema pgstream from public;
grant execute on function pgstream.log_schema() to public;
grant execute on function pgstream.log_ddl(text, text, text, text) to public;
grant execute on function pgstream.release(text, name[]) to public;

-- The owner of the database sets up and looks: the functions that do it belong to the role that installed pgstream.
do $$
declare
    signature text;
begin
    foreach signature in array array[
        'init(text, text, boolean, interval)', 'destroy(text)', 'status()', 'check()', 'wait_for(pg_lsn, interval)',
        'request_snapshot(text[], text)', 'cancel_snapshot(integer)', 'refresh_schema(text)', 'get_schema(text, boolean)',
        'setup_check(text, text)', 'setup_publications()', 'setup_blockers(xid8)', 'setup_lists(boolean)',
        'setup_slot(text, text)', 'setup_schemas(text)',
        'slot_position(text)', 'move_slot(text, pg_lsn)', 'acknowledge(text, text[], bigint[], pg_lsn[], pg_lsn)']
    loop
        execute (
            select pg_catalog.format('grant execute on function pgstream.%s to %I', signature, pg_catalog.pg_get_userbyid(d.datdba))
            from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database());
    end loop;
end
$$;
