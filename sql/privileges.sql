-- Nobody but the owner may do anything here, except what every DDL statement of every role needs.

grant usage on schema pgstream to public;
revoke all on all tables in schema pgstream from public;
revoke all on all sequences in schema pgstream from public;
revoke execute on all functions in schema pgstream from public;
grant execute on function pgstream.log_schema() to public;
grant execute on function pgstream.log_ddl(text, text, text, text) to public;
