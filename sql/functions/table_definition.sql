-- A partition whose columns are those of its parent is made from it; any other table with its own columns.
create or replace function pgstream.table_definition(relation oid) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select format('create %stable %s', case when c.relpersistence = 'u' then 'unlogged ' end, c.oid::regclass)
            || case
                when p.parent is not null then
                    format(' partition of %s%s %s', p.parent::regclass,
                           ' (' || nullif(concat_ws(', ', pgstream.column_clauses(c.oid, p.parent), k.clauses), '') || ')',
                           pg_get_expr(c.relpartbound, c.oid))
                when c.reloftype <> 0 then format(' of %s%s', format_type(c.reloftype, null), ' (' || k.clauses || ')')
                else format(' (%s)', concat_ws(', ', pgstream.column_clauses(c.oid, null), k.clauses)) end
            || coalesce(' inherits (' || i.parents || ')', '')
            || coalesce(' partition by ' || pg_get_partkeydef(c.oid), '')
            || coalesce(' using ' || quote_ident(nullif(a.amname, 'heap')), '')
            || coalesce(' with (' || pgstream.storage_options(c.oid) || ')', '')
            || coalesce(' tablespace ' || quote_ident(s.spcname), '')
        from pg_class as c
        left join pg_am as a on a.oid = c.relam
        left join pg_tablespace as s on s.oid = c.reltablespace
        left join lateral (
            select i.inhparent as parent from pg_inherits as i
            where i.inhrelid = c.oid and c.relispartition
              and array(select attname from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum)
                = array(select attname from pg_attribute where attrelid = i.inhparent and attnum > 0 and not attisdropped order by attnum)
        ) as p on true
        left join lateral (
            select string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno) as parents
            from pg_inherits as i where i.inhrelid = c.oid and not c.relispartition
        ) as i on true
        left join lateral (
            select string_agg(format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), ', ' order by k.oid) as clauses
            from pg_constraint as k
            where k.conrelid = c.oid and k.contype in ('p', 'u', 'x', 'c', 'f') and k.conislocal and k.conparentid = 0
        ) as k on true
        where c.oid = relation);
end
$$;
comment on function pgstream.table_definition(oid) is 'CREATE TABLE with columns, constraints, parents, partitioning and storage';
