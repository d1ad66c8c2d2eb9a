-- What happened, for those who want to hear of it: webhooks, live consoles, notifications.
--
-- An event is written in the transaction of the change that it tells of. Its number (seq) is given later, by a reader: only
-- then is it known which transactions came first, and no writer waits for another. It names fields and holds no values.

CREATE TABLE domain_events (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seq bigint,
    kind text NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid NOT NULL,
    entity_version bigint NOT NULL,
    business_unit_id uuid,
    changed_fields text[] NOT NULL,
    details jsonb,
    actor text NOT NULL,
    actor_user_id uuid,
    change_set_id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('domain_events');
COMMENT ON TABLE domain_events IS 'What happened, without values: the payload is built for each receiver.';
CREATE UNIQUE INDEX domain_events_seq_key ON domain_events (organization_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX domain_events_written_at_idx ON domain_events (organization_id, written_at, id) WHERE seq IS NULL;

CREATE TABLE domain_event_heads (
    organization_id uuid NOT NULL PRIMARY KEY REFERENCES organizations (id),
    seq bigint NOT NULL DEFAULT 0,
    dispatched_seq bigint NOT NULL DEFAULT 0,
    is_followed boolean NOT NULL DEFAULT false
);
SELECT heimdell_tenant_table('domain_event_heads');
COMMENT ON TABLE domain_event_heads IS 'The last number given, how far events were dispatched, and whether anybody wants that.';
