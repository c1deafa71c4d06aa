-- Two transactions may meet here over one table when both write the document of a whole schema. Neither
-- waits: the second one gets null, and as it was not alone in the schema, its document does not count for long.
-- An old snapshot gets null too for an id that it cannot see.
create or replace function pgstream.create_table_mapping(table_oid oid) returns pgstream.xid
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    known pgstream.xid;
begin
    select t.id into known from pgstream.table_ids as t where t.oid = table_oid::bigint;
    if found or not pg_try_advisory_xact_lock(hashtext('pgstream.table_ids'), table_oid::bigint::bit(32)::int) then
        return known;
    end if;
    if current_setting('transaction_isolation') = 'read committed' then
        insert into pgstream.table_ids as t (oid) values (table_oid::bigint)
            on conflict (oid) do update set oid = excluded.oid
            returning t.id into known;
    else
        begin
            insert into pgstream.table_ids as t (oid) values (table_oid::bigint) returning t.id into known;
        exception when unique_violation then
            null;
        end;
    end if;
    return known;
end
$$;
comment on function pgstream.create_table_mapping(oid) is 'stable id of a table, made on first use';
