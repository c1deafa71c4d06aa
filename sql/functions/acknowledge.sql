-- The sidecar calls this for the schema versions of a batch, given with the end of their commits: before the destination writes
-- the batch (delivered null), and when it is durable there up to `delivered`.
--
-- Where a version stands in the log is true whoever has received it, so it is kept first: after a crash in between, a
-- destination that remembers its own position is not sent the batch again. The flag in schema_log follows, and a crash
-- that left it out is made good by the call without versions that each start makes.
--
-- A row may not be visible yet: with synchronous replication the stream can be ahead of it. Such rows are counted.
create or replace function pgstream.acknowledge(
    slot_name text, schemas text[], versions bigint[], commits pg_lsn[], delivered pg_lsn) returns integer
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    insert into pgstream.schema_log_acks (slot_name, schema_name, version, commit_lsn)
    select acknowledge.slot_name, v.schema_name, v.version, v.commit_lsn
    from unnest(schemas, versions, commits) as v(schema_name, version, commit_lsn)
    on conflict do nothing;
    if delivered is null then
        return 0;
    end if;

    if versions = '{}' then
        update pgstream.schema_log as l set acked = true
        from pgstream.schema_log_acks as a
        where not l.acked and a.slot_name = acknowledge.slot_name and a.commit_lsn <= delivered
          and a.schema_name = l.schema_name and a.version = l.version;
        return 0;
    end if;

    update pgstream.schema_log as l set acked = true
    from unnest(schemas, versions) as v(schema_name, version)
    where not l.acked and l.schema_name = v.schema_name and l.version = v.version;
    -- Positions of versions older than the oldest that is kept.
    delete from pgstream.schema_log_acks as a
    using (select s.schema_name, (select min(l.version) from pgstream.schema_log as l where l.schema_name = s.schema_name) as oldest
           from (select distinct unnest(schemas)) as s(schema_name)) as kept
    where a.slot_name = acknowledge.slot_name and a.schema_name = kept.schema_name and a.version < kept.oldest;
    return (
        select count(*) from unnest(schemas, versions) as v(schema_name, version)
        where not exists (select from pgstream.schema_log as l
                          where l.schema_name = v.schema_name and l.version = v.version));
end
$$;
comment on function pgstream.acknowledge(text, text[], bigint[], pg_lsn[], pg_lsn) is
    'record the schema versions that a slot passes; answers how many have no row yet';
