-- What somebody should know about the system's own state.

CREATE TABLE alerts (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    fingerprint text NOT NULL,
    severity text NOT NULL,
    source text NOT NULL,
    title text NOT NULL,
    message text NOT NULL DEFAULT '',
    is_manual boolean NOT NULL,
    occurrences integer NOT NULL DEFAULT 1,
    last_seen_at timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by uuid,
    resolved_at timestamptz,
    notified_at timestamptz,
    status text NOT NULL GENERATED ALWAYS AS (CASE WHEN resolved_at IS NOT NULL THEN 'resolved'
        WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END) STORED,
    acknowledged boolean NOT NULL GENERATED ALWAYS AS (acknowledged_at IS NOT NULL) STORED,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT alerts_severity_check CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT alerts_acknowledged_by_fkey FOREIGN KEY (organization_id, acknowledged_by) REFERENCES users
);
SELECT heimdell_tenant_table('alerts');
COMMENT ON TABLE alerts IS 'What somebody should know about the system''s own state. One row to a fingerprint, which counts how often it was seen.';
CREATE UNIQUE INDEX alerts_fingerprint_key ON alerts (organization_id, fingerprint);
CREATE INDEX alerts_created_at_idx ON alerts (organization_id, created_at, id);
CREATE INDEX alerts_updated_at_idx ON alerts (organization_id, updated_at, id);
CREATE INDEX alerts_last_seen_at_idx ON alerts (organization_id, last_seen_at, id);
CREATE INDEX alerts_unresolved_idx ON alerts (source, organization_id) WHERE resolved_at IS NULL;
-- Which kinds of jobs have failed.
CREATE INDEX queue_jobs_failed_idx ON queue_jobs (organization_id, kind) WHERE status = 'failed';
