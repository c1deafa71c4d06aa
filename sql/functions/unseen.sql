-- A repeatable read transaction reads the catalogue as it was when it began, although its own DDL worked on
-- the newest state. Columns are missing then.
create or replace function pgstream.unseen(described jsonb) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select 'the snapshot of this transaction is older than ' || string_agg(c.oid::regclass::text, ', ')
        from jsonb_array_elements(described) as d
        join pg_class as c on c.oid = (d ->> 'oid')::oid
        where current_setting('transaction_isolation') <> 'read committed'
          and c.relnatts <> (select count(*) from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0));
end
$$;
comment on function pgstream.unseen(jsonb) is 'why a description is not complete, null when it is';
