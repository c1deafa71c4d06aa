create or replace function pgstream.command_tables() returns oid[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with command as materialized (
            select c.objid, t.relkind, c.command_tag
            from pg_event_trigger_ddl_commands() as c
            join pg_class as t on t.oid = c.objid
            where c.classid = 'pg_class'::regclass and t.relkind in ('r', 'p') and t.relpersistence <> 't'
        )
        select array(
            select objid from command
            union
            -- a partition may have been detached
            select l from pgstream.locked_tables() as l
            where exists (select from command where relkind = 'p' and command_tag = 'ALTER TABLE')));
end
$$;
comment on function pgstream.command_tables() is 'tables that may have to change their publication list after the running command';
