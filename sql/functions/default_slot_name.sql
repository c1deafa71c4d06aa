create or replace function pgstream.default_slot_name() returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select left('pgstream_' || regexp_replace(lower(current_database()), '[^a-z0-9_]', '_', 'g'), 58) || '_slot'
$$;
comment on function pgstream.default_slot_name() is 'name of the slot when none is given';
