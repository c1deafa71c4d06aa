-- The rule by which the server chooses the replica identity, read from the catalogue: its own function would
-- lock the table.
create or replace function pgstream.has_identity(relation oid) returns boolean
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select c.relreplident = 'f' or exists (
            select from pg_index as i
            where i.indrelid = c.oid and i.indisvalid and i.indisunique and i.indimmediate and i.indpred is null
              and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end)
        from pg_class as c where c.oid = relation);
end
$$;
comment on function pgstream.has_identity(oid) is 'whether updates and deletes of a table can be published';
