-- Names come out qualified: the search_path holds nothing but pg_catalog.
create or replace function pgstream.object_definition(classid oid, objid oid, objsubid int) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case when objsubid = 0 then case classid
            when 'pg_class'::regclass then pgstream.relation_definition(objid)
            when 'pg_type'::regclass then pgstream.type_definition(objid)
            when 'pg_proc'::regclass then
                (select pg_get_functiondef(p.oid) from pg_proc as p where p.oid = objid and p.prokind <> 'a')
            when 'pg_namespace'::regclass then (select format('create schema %I', n.nspname) from pg_namespace as n where n.oid = objid)
            when 'pg_constraint'::regclass then pgstream.constraint_definition(objid)
            when 'pg_trigger'::regclass then pg_get_triggerdef(objid)
            when 'pg_rewrite'::regclass then rtrim(pg_get_ruledef(objid), ';')
            when 'pg_policy'::regclass then pgstream.policy_definition(objid)
            when 'pg_statistic_ext'::regclass then pg_get_statisticsobjdef(objid)
            when 'pg_extension'::regclass then
                (select format('create extension if not exists %I with schema %I version %L', e.extname, n.nspname, e.extversion)
                 from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace where e.oid = objid)
        end end);
end
$$;
comment on function pgstream.object_definition(oid, oid, int) is
    'statement that makes an object as it is now, null when there is no single one';
