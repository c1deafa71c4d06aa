create or replace function pgstream.give_identity(listed regclass) returns void
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    skip_log constant text := current_setting('pgstream.skip_log', true);
    relation regclass;
begin
    perform set_config('pgstream.skip_log', 'TRUE', true);
    for relation in select r::regclass from pgstream.without_identity(listed) as r loop
        execute format('alter table only %s replica identity full', relation);
        raise warning 'table % now has REPLICA IDENTITY FULL', relation
            using detail = 'It lost its replica identity while another transaction held its publication list.';
    end loop;
    perform set_config('pgstream.skip_log', coalesce(skip_log, ''), true);
end
$$;
comment on function pgstream.give_identity(regclass) is 'set REPLICA IDENTITY FULL where a published table, or a leaf of it, has no identity';
