-- A document is large, and each way of taking it apart walks all of it. One or two tables are put in place;
-- more are cheaper by building it anew. Tables are in the order of their oids.
create or replace function pgstream.patch_document(document jsonb, tables jsonb, gone oid[]) returns jsonb
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    known oid[] := array(
        select jsonb_array_elements_text(jsonb_path_query_array(document, '$.tables[*].oid'))::oid);
    place int;
    item  jsonb;
begin
    if known = '{}' or jsonb_array_length(tables) + cardinality(gone) > 2 then
        return jsonb_build_object('tables', (
            select jsonb_agg(t order by (t ->> 'oid')::oid)
            from (select k.t from jsonb_array_elements(nullif(document -> 'tables', 'null')) as k(t)
                  where (k.t ->> 'oid')::oid <> all (gone || array(select (n ->> 'oid')::oid from jsonb_array_elements(tables) as n))
                  union all
                  select jsonb_array_elements(tables)) as merged(t)));
    end if;

    for item in select jsonb_array_elements(tables) loop
        place := array_position(known, (item ->> 'oid')::oid);
        if place is not null then
            document := jsonb_set(document, array['tables', (place - 1)::text], item);
        else
            place := (select count(*) from unnest(known) as k where k < (item ->> 'oid')::oid);
            document := jsonb_insert(document, array['tables', place::text], item);
            known := known[:place] || (item ->> 'oid')::oid || known[place + 1:];
        end if;
    end loop;
    for place in select array_position(known, g) from unnest(gone) as g where g = any (known) order by 1 desc loop
        document := document #- array['tables', (place - 1)::text];
    end loop;
    return case when document -> 'tables' = '[]' then '{"tables": null}' else document end;
end
$$;
comment on function pgstream.patch_document(jsonb, jsonb, oid[]) is
    'a schema document with tables added or replaced, and others removed';
