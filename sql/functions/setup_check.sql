-- Everything that can be known to fail is refused before anything is made.
create or replace function pgstream.setup_check(slot_name text, plugin text) returns text
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    slot     constant text := coalesce(slot_name, pgstream.default_slot_name());
    existing record;
begin
    if pg_is_in_recovery() then
        raise exception 'this server is a standby' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Run init on the primary.';
    end if;
    if current_setting('wal_level') <> 'logical' then
        raise exception 'wal_level is %, logical decoding needs "logical"', current_setting('wal_level')
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Run alter system set wal_level = logical; and restart the server.';
    end if;
    if slot !~ '^[a-z0-9_]{1,63}$' then
        raise exception 'replication slot name "%" is not valid', slot using errcode = 'invalid_name',
            hint = 'A name has up to 63 characters: lower case letters, digits and underscores.';
    end if;
    if plugin is null or plugin not in ('auto', 'pgoutput', 'wal2json') then
        raise exception 'plugin "%" is not known', plugin using errcode = 'invalid_parameter_value',
            hint = 'Use auto, pgoutput or wal2json.';
    end if;
    if plugin = 'wal2json' and current_setting('output_plugin_libraries', true) !~ '\mwal2json\M' then
        raise exception 'the server does not let wal2json be used' using errcode = 'object_not_in_prerequisite_state',
            hint = format('Run alter system set output_plugin_libraries = %s, ''wal2json''; select pg_reload_conf();',
                (select string_agg(quote_literal(btrim(l)), ', ')
                 from regexp_split_to_table(current_setting('output_plugin_libraries'), ',') as l));
    end if;

    select s.* into existing from pg_replication_slots as s where s.slot_name = slot;
    if not found then
        if (select count(*) from pg_replication_slots) >= current_setting('max_replication_slots')::int then
            raise exception 'all % replication slots are in use', current_setting('max_replication_slots')
                using errcode = 'configuration_limit_exceeded',
                      hint = 'Drop one (select slot_name, active from pg_replication_slots) or raise max_replication_slots.';
        end if;
    elsif existing.slot_type <> 'logical' then
        raise exception 'replication slot "%" is a physical one', slot using errcode = 'duplicate_object',
            hint = 'Choose another name.';
    elsif existing.database <> current_database() then
        raise exception 'replication slot "%" belongs to database "%"', slot, existing.database
            using errcode = 'duplicate_object', hint = 'Choose another name.';
    elsif existing.wal_status = 'lost' then
        raise exception 'replication slot "%" has lost WAL it needs', slot using errcode = 'object_not_in_prerequisite_state',
            hint = format('Run select pgstream.destroy(%L), then init again and copy the tables anew.', slot);
    end if;
    return slot;
end
$$;
comment on function pgstream.setup_check(text, text) is 'refuse what cannot be set up; answers the name of the slot';
