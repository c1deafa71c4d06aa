create or replace function pgstream.drop_publications() returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    name text;
begin
    for name in select pubname from pg_publication where pubname ~ '^pgstream_(inserts|changes_[1-8])$' order by pubname loop
        execute format('drop publication if exists %I', name);
    end loop;
end
$$;
comment on function pgstream.drop_publications() is 'drop the publications that setup_publications() made';
