-- Two transactions may meet here over one table when both write the document of a whole schema.
-- Neither waits: the one that comes second gets null, and its document is marked stale by the caller's
-- other checks (it was not alone in the schema).
create or replace function pgstream.create_table_mapping(table_oid oid) returns pgstream.xid
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    known pgstream.xid;
begin
    select t.id into known from pgstream.table_ids as t where t.oid = table_oid::bigint;
    if known is null
       and pg_try_advisory_xact_lock(hashtext('pgstream.table_ids'), table_oid::bigint::bit(32)::int) then
        insert into pgstream.table_ids as t (oid) values (table_oid::bigint)
            on conflict (oid) do update set oid = excluded.oid
            returning t.id into known;
    end if;
    return known;
end
$$;
comment on function pgstream.create_table_mapping(oid) is 'stable id of a table, made on first use';
