create or replace function pgstream.relation_definition(relation oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case c.relkind
            when 'r' then pgstream.table_definition(c.oid)
            when 'p' then pgstream.table_definition(c.oid)
            when 'v' then pgstream.view_definition(c.oid)
            when 'm' then pgstream.view_definition(c.oid)
            when 'i' then pgstream.index_definition(c.oid)
            when 'I' then pgstream.index_definition(c.oid)
            when 'S' then pgstream.sequence_definition(c.oid, 'CREATE SEQUENCE')
            when 'c' then pgstream.type_definition(c.reltype)
        end
        from pg_class as c where c.oid = relation);
end
$$;
comment on function pgstream.relation_definition(oid) is 'object_definition() of what is in pg_class';
