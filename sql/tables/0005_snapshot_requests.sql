-- Requests to copy existing rows. A table of an earlier snapshot, made before pgstream was installed here, is
-- kept with its rows; the extension makes it its own if it belongs to the role that owns the rest. A snapshot of a
-- database where nothing is installed runs this file alone.

do $$
begin
    if exists (
        select from pg_catalog.pg_class as c, pg_catalog.pg_extension as e
        where c.oid = pg_catalog.to_regclass('pgstream.snapshot_requests') and e.extname = 'pgstream'
          and pg_catalog.pg_get_userbyid(c.relowner) = current_user
          and not exists (select from pg_catalog.pg_depend as d
                          where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')) then
        alter extension pgstream add table pgstream.snapshot_requests;
    end if;
end
$$;

create table if not exists pgstream.snapshot_requests (
    req_id      serial primary key,
    schema_name text,
    table_names text[],
    created_at  timestamptz,
    updated_at  timestamptz,
    status      text,
    errors      jsonb
);
alter table pgstream.snapshot_requests
    add column if not exists row_filter  text,
    add column if not exists slot_name   text,
    add column if not exists rows        bigint,
    add column if not exists bytes       bigint,
    add column if not exists total_bytes bigint,
    alter column created_at set default now(),
    alter column status set default 'requested',
    drop constraint if exists snapshot_requests_status_check,
    add constraint snapshot_requests_status_check
        check (status in ('requested', 'in progress', 'completed', 'failed', 'cancelled'));
comment on table pgstream.snapshot_requests is 'an insert here is picked up by a running pgstream';
comment on column pgstream.snapshot_requests.errors is 'what failed, by table: it is tried again by the next run';
comment on column pgstream.snapshot_requests.row_filter is 'condition that the copied rows meet; null = all rows';
comment on column pgstream.snapshot_requests.slot_name is 'which stream answers it, or has taken it up; null = any';
comment on column pgstream.snapshot_requests.total_bytes is 'estimate of all that is to be copied';

-- A hash, because a long list of names does not fit into an index entry.
do $$
begin
    if pg_catalog.to_regprocedure('pgstream.snapshot_table_names_hash(text[])') is not null then
        create unique index if not exists schema_table_status_unique_index
            on pgstream.snapshot_requests (schema_name, pgstream.snapshot_table_names_hash(table_names))
            where status not in ('completed', 'cancelled');
    end if;
end
$$;
