create or replace function pgstream.wait_for(lsn pg_lsn, timeout interval default '10 s') returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    deadline constant timestamptz := clock_timestamp() + timeout;
    reached  boolean;
begin
    loop
        select bool_and(s.confirmed_flush_lsn >= lsn) into reached
        from pg_replication_slots as s join pgstream.slots as k using (slot_name)
        where s.database = current_database();
        if reached is null then
            raise exception 'there is no slot to wait for' using errcode = 'undefined_object', hint = 'Run pgstream init.';
        end if;
        if reached or clock_timestamp() >= deadline then
            return reached;
        end if;
        perform pg_sleep(0.01);
    end loop;
end
$$;
comment on function pgstream.wait_for(pg_lsn, interval) is
    'wait until every slot set up here has passed a position; false when the time is over';
