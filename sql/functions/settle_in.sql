-- After a dump and restore the oids in table_ids are those of other tables: ids and documents begin anew. A copy of the
-- files, pg_upgrade or a database made from a template keep the oids; the newest documents tell, which have both.
create or replace function pgstream.settle_in() returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    here record;
begin
    select c.system_identifier, d.oid as database into here
    from pg_control_system() as c, pg_database as d where d.datname = current_database();
    if exists (select from pgstream.home as h where h.system_identifier = here.system_identifier and h.database = here.database) then
        return;
    end if;
    if exists (
        select from pg_namespace as n
        cross join lateral (
            select l.schema from pgstream.schema_log as l
            where l.schema_name = n.nspname order by l.version desc limit 1) as newest
        cross join lateral jsonb_array_elements(nullif(newest.schema -> 'tables', 'null')) as t
        where not exists (select from pg_class as c
                          where c.oid = (t ->> 'oid')::oid and c.relnamespace = n.oid and c.relname = t ->> 'name')) then
        raise warning 'this database was restored from a dump: tables get new ids'
            using detail = 'Whatever was built from the old database does not continue from here.';
        delete from pgstream.table_ids;
        insert into pgstream.stale_schemas (schema_name)
        select n.nspname from pg_namespace as n where not pgstream.is_system_schema(n.nspname::text);
        perform pgstream.log_document(n.nspname::text, '[]', '{}')
        from pg_namespace as n
        where exists (select from pgstream.schema_log as l where l.schema_name = n.nspname) order by n.nspname;
    end if;
    delete from pgstream.slots as k where k.system_identifier <> here.system_identifier or k.slot_name not in (
        select s.slot_name from pg_replication_slots as s where s.database = current_database());
    delete from pgstream.schema_log_acks as a where a.slot_name not in (select k.slot_name from pgstream.slots as k);
    update pgstream.home set system_identifier = here.system_identifier, database = here.database;
end
$$;
comment on function pgstream.settle_in() is 'notice that this database is a copy, and begin anew where that breaks the ids';
