create or replace function pgstream.ddl_text(
    out sql text, out exact boolean, out depth integer, out role text)
    language c volatile
    as 'MODULE_PATHNAME', 'pgstream_ddl_text';
