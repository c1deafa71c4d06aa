-- Without the library the role is only what the caller says. It counts if the session may become it, or
-- if it owns what the command made (a security definer function); else the session's own role does.
create or replace function pgstream.trusted_role(role text, objects jsonb) returns text
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select case when exists (select from pg_roles as r where r.rolname = trusted_role.role
                                 and pg_has_role(session_user, r.oid, 'member'))
                      or exists (select from jsonb_array_elements(objects) as o where o ->> 'owner' = trusted_role.role)
                    then trusted_role.role
                    else session_user::text end);
end
$$;
comment on function pgstream.trusted_role(text, jsonb) is 'the role a command is recorded under';
