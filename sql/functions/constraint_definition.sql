create or replace function pgstream.constraint_definition(con oid) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select case when k.conrelid <> 0
                then format('alter table only %s add constraint %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
                else format('alter domain %s add constraint %I %s', format_type(k.contypid, null), k.conname, pg_get_constraintdef(k.oid)) end
    from pg_constraint as k where k.oid = con
$$;
comment on function pgstream.constraint_definition(oid) is 'ALTER .. ADD CONSTRAINT';
