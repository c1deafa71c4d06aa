-- Chooses the version of a schema's next document, and tells whether the newest one may be built upon.
--
-- Versions are dense per schema (1, 2, 3 ...), unique, and never waited for. They come in blocks of 64;
-- a transaction that writes into a block holds an advisory lock on it until it ends. When the block
-- is taken by another open transaction, the next free block is used: its versions leave a gap, and
-- so does a rollback. A sequence for each schema would have to be created by somebody's DDL, where a
-- second transaction waits for the first; one sequence for all would not start at 1.
--
-- Every transaction that writes documents of a schema also holds a shared lock on the schema. Who finds
-- that it is not alone marks the schema as stale: neither sees what the other has changed. A document
-- is only built upon when its author was alone (no mark is left) and everything committed is
-- visible here (read committed). Nothing here waits; a lock that is not free is only a "no".
create or replace function pgstream.next_version(
    schema_name text, at_least bigint, out version bigint, out base bigint)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    key   constant int := hashtext('pgstream.schema_log/' || schema_name);
    alone boolean := false;
    last  bigint;
    block int;
begin
    -- The probe below holds its exclusive lock for an instant only.
    for attempt in 1 .. 100 loop
        exit when pg_try_advisory_xact_lock_shared(key, -1);
    end loop;
    if pg_try_advisory_lock(key, -1) then
        perform pg_advisory_unlock(key, -1);
        alone := current_setting('transaction_isolation') = 'read committed';
    end if;

    select l.version into last from pgstream.schema_log as l
    where l.schema_name = next_version.schema_name order by l.version desc limit 1;
    version := greatest(coalesce(last, 0) + 1, at_least);
    loop
        block := (version - 1) / 64;
        if pg_try_advisory_xact_lock(key, block) then
            -- Whoever had the block before has ended: what it wrote is visible to this statement.
            select l.version into last from pgstream.schema_log as l
            where l.schema_name = next_version.schema_name and l.version <= (block + 1) * 64
            order by l.version desc limit 1;
            version := greatest(version, coalesce(last, 0) + 1);
            exit when (version - 1) / 64 = block;
        else
            version := (block + 1) * 64 + 1;
        end if;
    end loop;

    if not alone then
        insert into pgstream.stale_schemas (schema_name) values (next_version.schema_name);
    elsif exists (select from pgstream.stale_schemas as s where s.schema_name = next_version.schema_name) then
        delete from pgstream.stale_schemas as s where s.ctid in (
            select f.ctid from pgstream.stale_schemas as f
            where f.schema_name = next_version.schema_name for update skip locked);
    else
        select l.version into base from pgstream.schema_log as l
        where l.schema_name = next_version.schema_name order by l.version desc limit 1;
    end if;
end
$$;
comment on function pgstream.next_version(text, bigint) is
    'version of the next document of a schema, and the version it may be built upon (null: none)';
