DROP TABLE domain_event_heads;
DROP TABLE domain_events;
