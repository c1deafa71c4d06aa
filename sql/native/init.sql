create or replace function pgstream.init(
    slot_name text default null, plugin text default 'auto', replica_identity_full boolean default false,
    timeout interval default '1 min') returns text
    language c volatile security definer
    set search_path = pg_catalog, pg_temp
    as 'MODULE_PATHNAME', 'pgstream_init_wrapper';
