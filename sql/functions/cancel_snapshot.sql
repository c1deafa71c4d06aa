create or replace function pgstream.cancel_snapshot(request integer) returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    update pgstream.snapshot_requests set status = 'cancelled', updated_at = now()
    where req_id = request and status in ('requested', 'in progress', 'failed');
    return found;
end
$$;
comment on function pgstream.cancel_snapshot(integer) is 'take a request back; false when it is not there or has ended';
