-- The statements of the log: definitions where objects were made, the text where there is none or the command altered something.
select string_agg(statement, E';\n' order by id, nth)
from (select l.id, o.nth, coalesce(
          case when l.command_tag !~ '^(ALTER|GRANT)' then o.object ->> 'definition' end,
          case when l.command_tag <> 'CREATE TABLE' then 'set search_path = "S x", public; ' || l.sql end) as statement
      from pgstream.ddl_log as l, jsonb_array_elements(l.objects) with ordinality as o(object, nth)) as statements
