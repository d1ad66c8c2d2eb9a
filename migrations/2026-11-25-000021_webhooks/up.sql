-- Webhooks: who is told of events, who may tell us something, and each message either way.

CREATE TABLE webhooks (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    url text NOT NULL,
    description text,
    events text[] NOT NULL,
    role text NOT NULL,
    business_unit_id uuid,
    is_active boolean NOT NULL,
    disabled_reason text,
    secret_changed_at timestamptz,
    secret text NOT NULL DEFAULT '',
    old_secret text,
    old_secret_until timestamptz,
    failing_since timestamptz,
    paused_until timestamptz,
    last_delivered_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT webhooks_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT webhooks_created_by_fkey FOREIGN KEY (organization_id, created_by) REFERENCES users,
    CONSTRAINT webhooks_role_check CHECK (role IN ('ADMIN', 'MANAGER', 'SALES_REP')),
    CONSTRAINT webhooks_disabled_reason_check CHECK (disabled_reason IN ('gone', 'failing'))
);
SELECT heimdell_tenant_table('webhooks');
COMMENT ON TABLE webhooks IS 'Subscriptions to events. Secrets are sealed; an old one signs beside the new one for a while.';
CREATE INDEX webhooks_created_at_idx ON webhooks (organization_id, created_at, id);
CREATE INDEX webhooks_updated_at_idx ON webhooks (organization_id, updated_at, id);
CREATE INDEX webhooks_business_unit_id_idx ON webhooks (organization_id, business_unit_id);
CREATE INDEX webhooks_created_by_idx ON webhooks (organization_id, created_by);

CREATE TABLE webhook_sources (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    name text NOT NULL,
    is_active boolean NOT NULL,
    secret_changed_at timestamptz,
    secret text NOT NULL DEFAULT '',
    old_secret text,
    old_secret_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('webhook_sources');
COMMENT ON TABLE webhook_sources IS 'Who may send webhooks to us.';
CREATE UNIQUE INDEX webhook_sources_name_key ON webhook_sources (organization_id, lower(name));
CREATE INDEX webhook_sources_created_at_idx ON webhook_sources (organization_id, created_at, id);
CREATE INDEX webhook_sources_updated_at_idx ON webhook_sources (organization_id, updated_at, id);
-- A sender shows the id of the source alone: the organization is found by it.
CREATE INDEX webhook_sources_id_idx ON webhook_sources (id);

CREATE TABLE webhook_events (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    direction text NOT NULL,
    webhook_id uuid,
    source_id uuid,
    event_id text NOT NULL,
    event text NOT NULL,
    entity_type text,
    entity_id uuid,
    seq bigint NOT NULL DEFAULT 0,
    status text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    response_status integer,
    response_excerpt text,
    last_error text,
    body jsonb,
    body_digest bytea,
    occurred_at timestamptz NOT NULL,
    finished_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT webhook_events_webhook_id_fkey FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE,
    CONSTRAINT webhook_events_source_id_fkey FOREIGN KEY (organization_id, source_id) REFERENCES webhook_sources ON DELETE CASCADE,
    CONSTRAINT webhook_events_direction_check CHECK (
        (direction = 'out' AND webhook_id IS NOT NULL AND source_id IS NULL)
        OR (direction = 'in' AND source_id IS NOT NULL AND webhook_id IS NULL)),
    CONSTRAINT webhook_events_status_check CHECK (
        status IN ('pending', 'delivered', 'processed', 'ignored', 'failed', 'cancelled'))
);
SELECT heimdell_tenant_table('webhook_events');
COMMENT ON TABLE webhook_events IS 'Messages to webhooks and from sources, each once. What is sent is built anew for each try and not kept.';
CREATE UNIQUE INDEX webhook_events_webhook_key ON webhook_events (organization_id, webhook_id, event_id)
    WHERE webhook_id IS NOT NULL;
CREATE UNIQUE INDEX webhook_events_source_key ON webhook_events (organization_id, source_id, event_id)
    WHERE source_id IS NOT NULL;
CREATE INDEX webhook_events_pending_idx ON webhook_events (organization_id, webhook_id, entity_id, seq, id)
    WHERE status = 'pending';
CREATE INDEX webhook_events_created_at_idx ON webhook_events (organization_id, created_at, id);
CREATE INDEX webhook_events_updated_at_idx ON webhook_events (organization_id, updated_at, id);
CREATE INDEX webhook_events_status_idx ON webhook_events (organization_id, status, created_at, id);
CREATE INDEX webhook_events_webhook_id_idx ON webhook_events (organization_id, webhook_id, created_at, id);
CREATE INDEX webhook_events_source_id_idx ON webhook_events (organization_id, source_id, created_at, id);
