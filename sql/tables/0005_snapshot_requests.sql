-- Requests to copy existing rows. A table of an earlier snapshot, made before pgstream was installed here, is
-- kept with its rows; the extension makes it its own if it belongs to the role that owns the rest.

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
    status      text check (status in ('requested', 'in progress', 'completed')),
    errors      jsonb
);
comment on table pgstream.snapshot_requests is 'an insert here is picked up by a running pgstream';

-- A hash, because a long list of names does not fit into an index entry.
create unique index if not exists schema_table_status_unique_index
    on pgstream.snapshot_requests (schema_name, pgstream.snapshot_table_names_hash(table_names))
    where status <> 'completed';
