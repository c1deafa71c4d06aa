-- One row per DDL command, written in the transaction of that command by pgstream.log_ddl() only.

create table pgstream.ddl_log (
    id           bigint generated always as identity primary key,
    at           timestamptz default clock_timestamp(),
    command_tag  text,
    sql          text,
    exact        boolean,
    depth        int,
    role         text,
    search_path  text,
    settings     jsonb,
    objects      jsonb,
    tables       jsonb,
    rewrite      boolean,
    error        text
);
comment on table pgstream.ddl_log is 'every schema change: text, role, settings, objects and the tables as they are afterwards';
comment on column pgstream.ddl_log.sql is 'text of the statement; when not exact, everything the client had sent with it';
comment on column pgstream.ddl_log.depth is 'number of DDL commands this one ran inside of';
comment on column pgstream.ddl_log.error is 'why objects or tables are missing: read the catalogue instead';

-- What a command dropped or rewrote is known to earlier event triggers than ddl_command_end, which
-- writes the row. It is kept here in between: a setting would do, but anybody can write a setting.
create unlogged table pgstream.ddl_pending (
    xact      xid8 not null,
    depth     int not null,
    objects   jsonb not null default '[]',
    tables    oid[] not null default '{}',
    schemas   text[] not null default '{}',
    rewritten oid
);
comment on table pgstream.ddl_pending is 'parts of the running DDL command, handed from sql_drop and table_rewrite to ddl_command_end';
create index ddl_pending_xact on pgstream.ddl_pending (xact);
