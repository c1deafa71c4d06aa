-- Ids of tables survive renames; a column's id is `<table id>-<attnum>`.

create table pgstream.table_ids (
    id  pgstream.xid primary key default pgstream.xid(),
    oid bigint not null unique
);
comment on table pgstream.table_ids is 'stable id of each table, by its oid in this database';

-- Where these ids were made: a restored dump brings them along, but not the oids.
create table pgstream.home (
    system_identifier bigint not null,
    database          oid not null
);
comment on table pgstream.home is 'server and database that table_ids belongs to';
insert into pgstream.home (system_identifier, database)
select c.system_identifier, d.oid
from pg_catalog.pg_control_system() as c, pg_catalog.pg_database as d
where d.datname = pg_catalog.current_database();
