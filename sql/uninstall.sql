-- Removes a plain install. Drop the replication slots first: select pgstream.destroy().
-- With the extension: drop extension pgstream; drop schema pgstream.

drop event trigger if exists pgstream_before_ddl;
drop event trigger if exists pgstream_delist_altered_tables;
drop event trigger if exists pgstream_delist_tables;
drop event trigger if exists pgstream_list_tables;
drop event trigger if exists pgstream_log_schema_create_alter_table;
drop event trigger if exists pgstream_log_schema_drop_schema_table;
drop event trigger if exists pgstream_log_schema_rewrite;
do $$
declare
    publication name;
begin
    for publication in
        select pubname from pg_catalog.pg_publication
        where pubname operator(pg_catalog.~) '^pgstream_(inserts|changes_[1-8])$'
    loop
        execute pg_catalog.format('drop publication %I', publication);
    end loop;
end
$$;
drop schema if exists pgstream cascade;
