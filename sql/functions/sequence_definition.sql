-- The sequence of an identity column comes with its table.
create or replace function pgstream.sequence_definition(sequence oid, tag text) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case tag
            when 'CREATE SEQUENCE' then format('create %ssequence %s as %s %s', case when c.relpersistence = 'u' then 'unlogged ' end,
                c.oid::regclass, format_type(s.seqtypid, null), pgstream.sequence_options(c.oid))
            else format('alter sequence %s as %s %s owned by %s', c.oid::regclass, format_type(s.seqtypid, null),
                pgstream.sequence_options(c.oid),
                coalesce(case when d.deptype = 'a' then
                    (select format('%s.%I', a.attrelid::regclass, a.attname) from pg_attribute as a
                     where a.attrelid = d.refobjid and a.attnum = d.refobjsubid) end, 'none')) end
        from pg_class as c
        join pg_sequence as s on s.seqrelid = c.oid
        left join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
        where c.oid = sequence and d.deptype is distinct from 'i');
end
$$;
comment on function pgstream.sequence_definition(oid, text) is 'CREATE SEQUENCE, or ALTER SEQUENCE with all options and the owner';
