create or replace function pgstream.slot_position(slot_name text, out system_identifier bigint, out stored pg_lsn)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    select k.system_identifier, k.position into system_identifier, stored
    from pgstream.slots as k where k.slot_name = slot_position.slot_name;
end
$$;
comment on function pgstream.slot_position(text) is 'the server a slot was made on, and the position that it is not confirmed past';
