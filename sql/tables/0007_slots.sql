-- What was set up here, per replication slot. A slot without a row was left behind by an unfinished init.

create table pgstream.slots (
    slot_name         text primary key,
    plugin            text not null,
    system_identifier bigint not null,
    start_lsn         pg_lsn not null,
    next_xid          xid8 not null,
    position          pg_lsn,
    created_at        timestamptz not null default now()
);
comment on table pgstream.slots is 'slots that pgstream has set up completely';
comment on column pgstream.slots.next_xid is 'read when the slot was there: transactions with a smaller id may have ended before its start';
comment on column pgstream.slots.position is 'the slot is never confirmed past it; null where the destination keeps the position itself';

create table pgstream.schema_log_acks (
    slot_name   text not null,
    schema_name text collate "C" not null,
    version     bigint not null,
    commit_lsn  pg_lsn not null,
    primary key (slot_name, schema_name, version)
);
comment on table pgstream.schema_log_acks is 'commit position of each schema version that a slot starts with or has passed';
