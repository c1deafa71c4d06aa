create or replace function pgstream.describe_tables(relations oid[]) returns jsonb
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_agg(t), '[]') from pgstream.get_tables(relations) as t);
end
$$;
comment on function pgstream.describe_tables(oid[]) is 'get_tables() as one array';
