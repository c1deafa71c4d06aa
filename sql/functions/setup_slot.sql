-- Step 4. Writes nothing before the slot is there: it cannot be made in a transaction that has written. An idle slot pgstream_*
-- of pgoutput that has no row in pgstream.slots is left from an init that did not finish: it may be older than the publications.
-- The row of a slot that somebody dropped says nothing about the new one, and goes.
create or replace function pgstream.setup_slot(slot_name text, plugin text) returns pg_lsn
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    existing record;
    start    pg_lsn;
begin
    select s.* into existing from pg_replication_slots as s where s.slot_name = setup_slot.slot_name;
    if found then
        if existing.slot_name not like 'pgstream\_%' or existing.plugin <> 'pgoutput'
           or existing.database <> current_database() or existing.active
           or exists (select from pgstream.slots as k where k.slot_name = setup_slot.slot_name) then
            return existing.confirmed_flush_lsn;
        end if;
        perform pg_drop_replication_slot(setup_slot.slot_name::name);
    end if;
    -- Where other sessions change schemas meanwhile, the server leaves this call with another resource owner than it came with, and
    -- a query around it fails in the end ("snapshot reference is not owned"). So there is no query, only an expression,
    -- and the block with a handler puts the owner back.
    begin
        start := (pg_create_logical_replication_slot(setup_slot.slot_name::name,
            case when setup_slot.plugin = 'wal2json' then 'wal2json' else 'pgoutput' end::name)).lsn;
    exception when assert_failure then
        raise;
    end;
    delete from pgstream.schema_log_acks as a where a.slot_name = setup_slot.slot_name;
    delete from pgstream.slots as k where k.slot_name = setup_slot.slot_name;
    return start;
end
$$;
comment on function pgstream.setup_slot(text, text) is 'step 4 of setting up: the slot; answers where it starts';
