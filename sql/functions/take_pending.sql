-- Without the library every depth is 0: a command inside a rewriting one ends first, so the rewrite is
-- left to the command that names the table.
create or replace function pgstream.take_pending(
    depth int, touched oid[], out objects jsonb, out tables oid[], out schemas text[], out rewrite boolean)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    with taken as (
        delete from pgstream.ddl_pending as p
        where p.xact = pg_current_xact_id_if_assigned() and p.depth >= take_pending.depth
          and (p.rewritten is null or p.rewritten = any (touched))
        returning p.objects, p.tables, p.schemas, p.rewritten
    )
    select coalesce((select jsonb_agg(o) from taken as t, jsonb_array_elements(t.objects) as o), '[]'),
           coalesce((select array_agg(distinct r) from taken as t, unnest(t.tables) as r), '{}'),
           coalesce((select array_agg(distinct s) from taken as t, unnest(t.schemas) as s), '{}'),
           exists (select from taken as t where t.rewritten is not null)
    into objects, tables, schemas, rewrite;
end
$$;
comment on function pgstream.take_pending(int, oid[]) is 'what sql_drop and table_rewrite noted for the running command';
