-- At ddl_command_start the server tells nothing but the tag, so the text is looked at. Any role may call this, and
-- without the library the text is what the client sent: so the role must be able to do itself what it asks for.
create or replace function pgstream.release(tag text, schemas name[]) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    name_pattern constant text := '(?:"(?:[^"]|"")+"|[[:alpha:]_\u0080-\uffff][[:alnum:]_$\u0080-\uffff]*)';
    text_of_ddl text;
begin
    select regexp_replace(d.sql, '--[^\n]*|/\*.*?\*/', ' ', 'g') into text_of_ddl from pgstream.ddl_text() as d;
    if tag = 'ALTER TABLE' then
        if text_of_ddl ~* '\mset\s+unlogged\M' then
            perform pgstream.delist(array(
                select c.oid
                from regexp_matches(text_of_ddl, format(
                    '\malter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(%1$s(?:\s*\.\s*%1$s)?)[^;]*?\mset\s+unlogged\M', name_pattern), 'gi') as m
                cross join lateral parse_ident(m[1]) as p
                cross join lateral (
                    select c.oid, c.relowner from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                    where c.relname = p[cardinality(p)]
                      and case when cardinality(p) = 2 then n.nspname = p[1] else n.nspname = any (schemas) end
                    order by array_position(schemas, n.nspname) limit 1) as c
                where pg_has_role(session_user, c.relowner, 'usage')));
        end if;
    elsif exists (
        select from regexp_matches(text_of_ddl, format(
            '\mdrop\s+%s\s+(?:if\s+exists\s+)?(%2$s(?:\s*,\s*%2$s)*)', split_part(lower(tag), ' ', 2), name_pattern), 'gi') as m
        cross join lateral regexp_matches(m[1], name_pattern, 'g') as i
        where (parse_ident(i[1]))[1] = 'pgstream')
      and exists (
        select from pg_namespace as n left join pg_extension as e on e.extname = 'pgstream'
        where n.nspname = 'pgstream'
          and pg_has_role(session_user, case tag when 'DROP EXTENSION' then e.extowner else n.nspowner end, 'usage')) then
        perform pgstream.drop_publications();
    end if;
end
$$;
comment on function pgstream.release(text, name[]) is 'called by the event trigger: what before_ddl() does, with the rights for it';
