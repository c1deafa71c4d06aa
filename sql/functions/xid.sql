create or replace function pgstream.xid(_at timestamptz default current_timestamp) returns pgstream.xid
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select pgstream.xid_encode(array[
            (seconds >> 24) & 255, (seconds >> 16) & 255, (seconds >> 8) & 255, seconds & 255,
            (machine >> 16) & 255, (machine >> 8) & 255, machine & 255,
            (pid >> 8) & 255, pid & 255,
            (counter >> 16) & 255, (counter >> 8) & 255, counter & 255]::int[])
        from (select floor(extract(epoch from _at))::bigint as seconds,
                     pgstream._xid_machine_id()::bigint as machine,
                     pg_backend_pid()::bigint as pid,
                     nextval('pgstream.xid_serial') as counter) as parts);
end
$$;
comment on function pgstream.xid(timestamptz) is 'a new identifier: seconds, machine, process, counter';
