-- On a replication connection, before START_REPLICATION: the walsender sends its stream in large pieces, in the same
-- order and form. False when the setting pgstream.cork is off. Whoever may replicate may call it: it changes nothing
-- but the caller's own connection.
create or replace function pgstream.cork_on() returns boolean
    language c volatile
    as 'MODULE_PATHNAME', 'pgstream_cork_on_wrapper';
grant execute on function pgstream.cork_on() to public;
