create or replace function pgstream.comment_definition(classid oid, objid oid, objsubid int) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format('comment on %s %s is %s',
            case o.type when 'table column' then 'column'
                        when 'table constraint' then 'constraint'
                        when 'domain constraint' then 'constraint'
                        else o.type end,
            case when o.type = 'domain constraint' then replace(o.identity, ' on ', ' on domain ') else o.identity end,
            coalesce(quote_literal(case when objsubid > 0 then col_description(objid, objsubid)
                                        else obj_description(objid, classid::regclass::name) end), 'null'))
        from pg_identify_object(classid, objid, objsubid) as o);
end
$$;
comment on function pgstream.comment_definition(oid, oid, int) is 'COMMENT ON statement for an object as it is commented now';
