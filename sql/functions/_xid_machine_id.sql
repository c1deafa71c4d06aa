create or replace function pgstream._xid_machine_id() returns int
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select (system_identifier & 16777215)::int from pg_control_system());
end
$$;
comment on function pgstream._xid_machine_id() is 'low 24 bits of the system identifier';
