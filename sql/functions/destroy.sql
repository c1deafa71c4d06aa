-- The slot goes first: it keeps WAL, and dropping it is not undone when something after it fails.
create or replace function pgstream.destroy(slot_name text default null) returns text
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    slot record;
begin
    for slot in
        select s.slot_name, s.active_pid from pg_replication_slots as s
        where s.slot_type = 'logical' and s.database = current_database()
          and case when destroy.slot_name is null
                   then s.slot_name = pgstream.default_slot_name() or s.slot_name in (select k.slot_name from pgstream.slots as k)
                   else s.slot_name = destroy.slot_name end
    loop
        if slot.active_pid is not null then
            raise exception 'replication slot "%" is in use by process %', slot.slot_name, slot.active_pid
                using errcode = 'object_in_use', hint = 'Stop the running pgstream first.';
        end if;
        perform pg_drop_replication_slot(slot.slot_name);
    end loop;
    delete from pgstream.schema_log_acks as a where a.slot_name not in (select s.slot_name from pg_replication_slots as s);
    delete from pgstream.slots as k where k.slot_name not in (select s.slot_name from pg_replication_slots as s);
    if exists (select from pgstream.slots) then
        return 'slot dropped; the publications stay for the other slots: '
            || (select string_agg(k.slot_name, ', ' order by k.slot_name) from pgstream.slots as k);
    end if;

    alter event trigger pgstream_list_tables disable;
    perform pgstream.drop_publications();
    return 'slot and publications dropped; for the rest: '
        || case when exists (select from pg_extension where extname = 'pgstream')
                then 'drop extension pgstream' else 'drop schema pgstream cascade' end;
end
$$;
comment on function pgstream.destroy(text) is
    'drop a slot (null: every slot set up here), and with the last one the publications; answers how to drop the rest';
