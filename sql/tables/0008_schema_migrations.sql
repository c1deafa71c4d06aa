-- The number of the newest file of tables/. A later file ends with
-- `update pgstream.schema_migrations set version = <its number>`.

create table pgstream.schema_migrations (
    version bigint primary key,
    dirty   boolean not null
);
comment on table pgstream.schema_migrations is 'the newest file of sql/tables that was applied';
insert into pgstream.schema_migrations (version, dirty) values (8, false);
