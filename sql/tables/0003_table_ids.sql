-- Ids of tables survive renames; a column's id is `<table id>-<attnum>`.

create table pgstream.table_ids (
    id  pgstream.xid primary key default pgstream.xid(),
    oid bigint not null unique
);
comment on table pgstream.table_ids is 'stable id of each table, by its oid in this database';
