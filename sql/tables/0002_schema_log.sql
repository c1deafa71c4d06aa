-- History of schema documents. Append-only; `version` is unique and ascending within a schema, and
-- the order in the replication stream is the truth. How a version is chosen: functions/next_version.sql.
-- Names have the collation of the catalogue, so that they are found by index when they come from there.

create table pgstream.schema_log (
    id          pgstream.xid primary key default pgstream.xid(),
    version     bigint not null,
    schema_name text collate "C" not null,
    schema      jsonb not null,
    created_at  timestamp not null default now(),
    acked       boolean not null default false
);
comment on table pgstream.schema_log is 'one document per schema and DDL command, in the transaction of that command';
comment on column pgstream.schema_log.acked is 'the reader of the stream has passed this row';

-- Documents shrink to a thirtieth. pglz takes longer for it than everything else that a DDL command causes here.
do $$
begin
    if (select 'lz4' = any (enumvals) from pg_catalog.pg_settings where name = 'default_toast_compression') then
        alter table pgstream.schema_log alter column schema set compression lz4;
    end if;
end
$$;

create unique index schema_log_version_uniq on pgstream.schema_log (schema_name, version);
create index schema_log_name_acked on pgstream.schema_log (schema_name, acked, id);

-- A row says: the newest document of this schema may miss something (it was written while another
-- transaction changed the same schema, or a change was not logged). The next document is computed
-- from the catalogue and removes the rows it saw. No unique key: nobody ever waits here.
create table pgstream.stale_schemas (
    schema_name text collate "C" not null
);
comment on table pgstream.stale_schemas is 'schemas whose next document must be computed from the catalogue';
