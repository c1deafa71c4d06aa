-- The table that an object belongs to: itself, or the one whose index, trigger, constraint, policy,
-- rule, default or statistics it is.
create or replace function pgstream.related_table(classid oid, objid oid) returns oid
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case classid
            when 'pg_class'::regclass then
                (select case when c.relkind in ('i', 'I') then (select i.indrelid from pg_index as i where i.indexrelid = c.oid)
                             else c.oid end
                 from pg_class as c where c.oid = objid)
            when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = objid)
            when 'pg_constraint'::regclass then (select nullif(conrelid, 0) from pg_constraint where oid = objid)
            when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = objid)
            when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = objid)
            when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = objid)
            when 'pg_statistic_ext'::regclass then (select stxrelid from pg_statistic_ext where oid = objid)
        end);
end
$$;
comment on function pgstream.related_table(oid, oid) is 'the relation an object belongs to, null when it stands alone';
