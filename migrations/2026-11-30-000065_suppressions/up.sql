-- Addresses that nothing is sent to: to the whole organization, or to one of its business units.

CREATE TABLE suppressions (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    email text NOT NULL,
    reason text NOT NULL,
    note text,
    search_text text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT suppressions_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT suppressions_reason_check CHECK (reason IN ('bounce', 'complaint', 'unsubscribe', 'manual'))
);
SELECT heimdell_tenant_table('suppressions');
COMMENT ON TABLE suppressions IS 'Addresses that nothing is sent to, in their normal form. Without a business unit they hold for all of them.';
-- The organization stands for all of its units: a null would be unlike every other.
CREATE UNIQUE INDEX suppressions_email_key
    ON suppressions (organization_id, lower(email), coalesce(business_unit_id, organization_id));
CREATE INDEX suppressions_email_idx ON suppressions (organization_id, email, id);
CREATE INDEX suppressions_created_at_idx ON suppressions (organization_id, created_at, id);
CREATE INDEX suppressions_updated_at_idx ON suppressions (organization_id, updated_at, id);
CREATE INDEX suppressions_business_unit_id_idx ON suppressions (organization_id, business_unit_id, created_at, id);
CREATE INDEX suppressions_search_text_idx ON suppressions USING gin (organization_id, search_text gin_trgm_ops)
    WITH (fastupdate = off);
