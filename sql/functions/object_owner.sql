-- pg_shdepend has no entry for the role that made the cluster: it owns what has an owner but no entry.
create or replace function pgstream.object_owner(classid oid, objid oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case when classid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass,
                                     'pg_trigger'::regclass, 'pg_constraint'::regclass, 'pg_policy'::regclass,
                                     'pg_rewrite'::regclass, 'pg_collation'::regclass, 'pg_operator'::regclass,
                                     'pg_extension'::regclass, 'pg_statistic_ext'::regclass) then
            pg_get_userbyid(coalesce(
                (select s.refobjid from pg_shdepend as s
                 where s.dbid = (select d.oid from pg_database as d where d.datname = current_database())
                   and s.objid = object_owner.objid and s.objsubid = 0 and s.deptype = 'o'
                   and s.refclassid = 'pg_authid'::regclass
                 limit 1), 10)) end);
end
$$;
comment on function pgstream.object_owner(oid, oid) is 'owner of an object, for a part of a relation the owner of the relation';
