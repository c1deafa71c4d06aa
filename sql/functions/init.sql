create or replace function pgstream.init(
    slot_name text default null, plugin text default 'auto', replica_identity_full boolean default false,
    timeout interval default '1 min') returns text
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'pgstream.init() needs the extension: its steps are transactions of their own'
        using errcode = 'feature_not_supported',
              hint = 'Run pgstream init --postgres-url with the address of this database.';
end
$$;
comment on function pgstream.init(text, text, boolean, interval) is
    'set up publications, slot and schema documents, with the extension; else the command line does it';
