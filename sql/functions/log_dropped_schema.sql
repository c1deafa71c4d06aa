-- A dropped schema keeps one marker row; its other rows and old markers go. Rows that somebody else
-- has locked are left for the next time.
create or replace function pgstream.log_dropped_schema(schema_name text) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    marker constant jsonb := '{"tables": null, "dropped": true}';
    chosen record;
begin
    chosen := pgstream.next_version(schema_name, 1);
    insert into pgstream.schema_log (version, schema_name, schema)
    values (chosen.version, schema_name, marker);

    delete from pgstream.schema_log as l where l.id in (
        select f.id from pgstream.schema_log as f
        where (f.schema_name = log_dropped_schema.schema_name and not f.schema ? 'dropped')
           or (f.schema ? 'dropped' and f.created_at < localtimestamp - interval '7 days')
        for update skip locked);
end
$$;
comment on function pgstream.log_dropped_schema(text) is 'append the marker of a dropped schema and prune its history';
