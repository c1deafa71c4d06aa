create or replace function pgstream.take_pending(
    depth int, out objects jsonb, out tables oid[], out schemas text[], out rewrite boolean)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    with taken as (
        delete from pgstream.ddl_pending as p
        where p.xact = pg_current_xact_id_if_assigned() and p.depth >= take_pending.depth
        returning p.objects, p.tables, p.schemas, p.rewrite
    )
    select coalesce((select jsonb_agg(o) from taken as t, jsonb_array_elements(t.objects) as o), '[]'),
           coalesce((select array_agg(distinct r) from taken as t, unnest(t.tables) as r), '{}'),
           coalesce((select array_agg(distinct s) from taken as t, unnest(t.schemas) as s), '{}'),
           coalesce((select bool_or(t.rewrite) from taken as t), false)
    into objects, tables, schemas, rewrite;
end
$$;
comment on function pgstream.take_pending(int) is 'what sql_drop and table_rewrite noted for the running command';
