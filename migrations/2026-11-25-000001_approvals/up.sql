-- Requests that a policy wants somebody else to approve.

CREATE TABLE approvals (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    business_unit_id uuid,
    action text NOT NULL,
    resource text NOT NULL,
    resource_id uuid,
    resource_version bigint,
    changes jsonb NOT NULL,
    request jsonb NOT NULL DEFAULT jsonb_build_object(),
    reason text NOT NULL,
    policy_id text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    requested_by uuid NOT NULL,
    decided_by uuid,
    decided_at timestamptz,
    change_set_id uuid,
    failure text,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT approvals_business_unit_id_fkey FOREIGN KEY (organization_id, business_unit_id) REFERENCES business_units,
    CONSTRAINT approvals_requested_by_fkey FOREIGN KEY (organization_id, requested_by) REFERENCES users,
    CONSTRAINT approvals_decided_by_fkey FOREIGN KEY (organization_id, decided_by) REFERENCES users,
    CONSTRAINT approvals_status_check CHECK (status IN ('pending', 'executed', 'rejected', 'expired', 'stale', 'failed',
        'cancelled'))
);
SELECT heimdell_tenant_table('approvals');
COMMENT ON TABLE approvals IS 'Requests that somebody else has to approve, frozen as they were made.';
CREATE INDEX approvals_created_at_idx ON approvals (organization_id, created_at, id);
CREATE INDEX approvals_updated_at_idx ON approvals (organization_id, updated_at, id);
CREATE INDEX approvals_resource_idx ON approvals (organization_id, resource, resource_id, id);
CREATE INDEX approvals_change_set_id_idx ON approvals (organization_id, change_set_id) WHERE change_set_id IS NOT NULL;
