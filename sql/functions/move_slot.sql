-- The sidecar calls this before it confirms the slot further, for destinations that store no position. A slot found further
-- than this was made anew by somebody else.
create or replace function pgstream.move_slot(slot_name text, at pg_lsn) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    update pgstream.slots as k set position = at
    where k.slot_name = move_slot.slot_name and k.position is distinct from at;
end
$$;
comment on function pgstream.move_slot(text, pg_lsn) is
    'store the position that a slot is not confirmed past; null: the destination keeps it';
