-- Policies: who may do what, beyond what the roles are given.

ALTER TABLE organizations ADD COLUMN policy_version bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN organizations.policy_version IS 'Counts the changes of policies. Every request reads it with its caller, so that a change holds in every process at once.';

CREATE TABLE policies (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    field text,
    effect text NOT NULL,
    condition jsonb,
    is_active boolean NOT NULL DEFAULT true,
    is_draft boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT policies_role_check CHECK (role IN ('ANY', 'ADMIN', 'MANAGER', 'SALES_REP')),
    CONSTRAINT policies_action_check CHECK (action IN ('view_field', 'edit_field', 'export_data', 'change_stage',
        'mark_won_lost', 'create', 'view', 'edit', 'delete', 'send_email', 'manage')),
    CONSTRAINT policies_effect_check CHECK (effect IN ('allow', 'deny', 'require_approval'))
);
SELECT heimdell_tenant_table('policies');
COMMENT ON TABLE policies IS 'Who may do what, on which records, under which condition.';
CREATE INDEX policies_created_at_idx ON policies (organization_id, created_at, id);
CREATE INDEX policies_updated_at_idx ON policies (organization_id, updated_at, id);
CREATE INDEX policies_name_idx ON policies (organization_id, name, id);
