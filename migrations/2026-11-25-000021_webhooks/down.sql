DROP TABLE webhook_events, webhook_sources, webhooks;
