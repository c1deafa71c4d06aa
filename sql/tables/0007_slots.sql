-- What was set up here, per replication slot. A slot without a row was left behind by an unfinished init.

create table pgstream.slots (
    slot_name         text primary key,
    plugin            text not null,
    system_identifier bigint not null,
    start_lsn         pg_lsn not null,
    created_at        timestamptz not null default now()
);
comment on table pgstream.slots is 'slots that pgstream has set up completely';

create table pgstream.schema_log_acks (
    slot_name   text not null,
    schema_name text collate "C" not null,
    version     bigint not null,
    commit_lsn  pg_lsn not null,
    primary key (slot_name, schema_name, version)
);
comment on table pgstream.schema_log_acks is 'commit position of each schema version that a slot has passed';
