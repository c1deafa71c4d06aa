create or replace function pgstream.policy_definition(policy oid) returns text
    language sql stable
    set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(' ',
        format('create policy %I on %s as %s', p.polname, p.polrelid::regclass,
               case when p.polpermissive then 'permissive' else 'restrictive' end),
        'for ' || case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
        'to ' || (select string_agg(case when r = 0 then 'public' else quote_ident(pg_get_userbyid(r)) end, ', ')
                  from unnest(p.polroles) as r),
        'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    from pg_policy as p where p.oid = policy
$$;
comment on function pgstream.policy_definition(oid) is 'CREATE POLICY';
