-- Subscriptions are the user's; the history is not dumped: a restore begins a new one.
select pg_catalog.pg_extension_config_dump('pgstream.webhook_subscriptions', '');
