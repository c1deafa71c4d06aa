-- Stable identifiers: 12 bytes (seconds, machine, process, counter) written as 20 characters of base32hex.

create domain pgstream.xid as char(20) check (value ~ '^[a-v0-9]{20}$');
comment on domain pgstream.xid is 'stable identifier: 12 bytes as 20 characters of base32hex, lower case';

create sequence pgstream.xid_serial minvalue 0 maxvalue 16777215 cycle;
comment on sequence pgstream.xid_serial is 'counter part of pgstream.xid, starts anywhere';

do $$
begin
    perform pg_catalog.setval('pgstream.xid_serial', (pg_catalog.random() * 16777215)::bigint);
end
$$;
