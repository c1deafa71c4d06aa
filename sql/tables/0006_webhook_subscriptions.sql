create table pgstream.webhook_subscriptions (
    url         text,
    schema_name text,
    table_name  text,
    event_types text[],
    primary key (url, schema_name, table_name)
);
comment on table pgstream.webhook_subscriptions is 'where events are posted; empty schema or table means any, null event_types all';
