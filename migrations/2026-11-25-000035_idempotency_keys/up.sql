-- The answers that repeated requests are given. A row's id is made from the sender and their key, which is not stored; the
-- answer is sealed with what the request alone holds, so that the table tells nothing to those who read it.
CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    answer text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('idempotency_keys');
COMMENT ON TABLE idempotency_keys IS 'Sealed answers to POST requests that carried an Idempotency-Key, kept for 24 hours.';
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (organization_id, created_at);
