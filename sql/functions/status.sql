-- ok = false: something is lost or stands still. A hint with ok = true is advice.
create or replace function pgstream.status()
    returns table (name text, value text, ok boolean, hint text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    triggers  text[];
    missing   text[];
    unlisted  text[];
    keyless   text[];
    failures  bigint;
begin
    return query
    select 'install', coalesce('extension ' || (select extversion from pg_extension where extname = 'pgstream'), 'plain SQL')
                      || ', migration ' || m.version, not m.dirty, case when m.dirty then 'Run pgstream init again.' end
    from pgstream.schema_migrations as m;

    triggers := array(
        select t.evtname::text from pg_event_trigger as t join pg_proc as p on p.oid = t.evtfoid
        where p.pronamespace = 'pgstream'::regnamespace and t.evtenabled <> 'A'
          and (t.evtname <> 'pgstream_list_tables' or exists (select from pgstream.slots)) order by 1);
    return query
    select 'event triggers', case when triggers = '{}' then 'on' else 'off: ' || pgstream.summary(triggers) end, triggers = '{}',
           case when triggers <> '{}' then 'Run alter event trigger .. enable always, then select pgstream.setup_lists().' end;

    missing := array(
        select p from unnest(array['pgstream_inserts'] || array(select 'pgstream_changes_' || i from generate_series(1, 8) as i)) as p
        where not exists (select from pg_publication where pubname = p));
    return query
    select 'publications', case when missing = '{}' then 'all' else 'missing: ' || pgstream.summary(missing) end, missing = '{}',
           case when missing <> '{}' then 'Run pgstream init.' end;

    unlisted := array(
        select r::regclass::text from pgstream.list_changes(array(
            select c.oid from pg_class as c where c.relkind in ('r', 'p') and c.relpersistence = 'p')) as l,
            unnest(l.enlist) as r order by 1);
    return query
    select 'unpublished tables', pgstream.summary(unlisted), unlisted = '{}',
           case when unlisted <> '{}' then 'Their updates and deletes are missing: run select pgstream.setup_lists().' end;

    keyless := array(select t::text from pgstream.tables_without_identity() as t);
    return query
    select 'tables without identity', pgstream.summary(keyless), true,
           case when keyless <> '{}' then 'Their updates and deletes are not captured: alter table .. replica identity full.' end;

    return query select * from pgstream.slot_status();

    select count(*) into failures from pgstream.ddl_log where error is not null;
    return query
    select 'DDL log', count(*) || ' commands, ' || failures || ' with incomplete metadata', failures = 0,
           case when failures > 0 then 'See the column error of pgstream.ddl_log.' end
    from pgstream.ddl_log;
end
$$;
comment on function pgstream.status() is 'what is set up, and how far behind it is';
