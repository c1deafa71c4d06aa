create or replace function pgstream.request_snapshot(tables text[], row_filter text default null) returns setof integer
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    insert into pgstream.snapshot_requests (schema_name, table_names, created_at, updated_at, status, row_filter)
    select n.schema_name, array_agg(distinct n.table_name order by n.table_name), now(), now(), 'requested', request_snapshot.row_filter
    from (select case when cardinality(p) = 1 then 'public' else p[1] end as schema_name, p[cardinality(p)] as table_name
          from unnest(tables) as t
          cross join lateral pgstream.table_pattern(t) as p) as n
    group by n.schema_name
    on conflict do nothing
    returning req_id;
end
$$;
comment on function pgstream.request_snapshot(text[], text) is
    'ask a running pgstream to copy tables (schema.table, table, schema.*, *); a request already waiting is not made twice';
