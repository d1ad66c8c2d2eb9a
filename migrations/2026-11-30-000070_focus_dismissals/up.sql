-- What a person does not want to be told of first today, until something of it changes.
CREATE TABLE focus_dismissals (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    deal_id uuid,
    lead_id uuid,
    task_id uuid,
    approval_id uuid,
    reason text NOT NULL,
    grounds jsonb NOT NULL,
    record_version bigint NOT NULL,
    touched_at timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT focus_dismissals_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT focus_dismissals_deal_id_fkey FOREIGN KEY (organization_id, deal_id) REFERENCES deals ON DELETE CASCADE,
    CONSTRAINT focus_dismissals_lead_id_fkey FOREIGN KEY (organization_id, lead_id) REFERENCES leads ON DELETE CASCADE,
    CONSTRAINT focus_dismissals_task_id_fkey FOREIGN KEY (organization_id, task_id) REFERENCES tasks ON DELETE CASCADE,
    CONSTRAINT focus_dismissals_approval_id_fkey FOREIGN KEY (organization_id, approval_id) REFERENCES approvals ON DELETE CASCADE,
    CONSTRAINT focus_dismissals_about_check CHECK (num_nonnulls(deal_id, lead_id, task_id, approval_id) = 1),
    CONSTRAINT focus_dismissals_reason_check CHECK (length(reason) BETWEEN 1 AND 500)
);
SELECT heimdell_tenant_table('focus_dismissals');
COMMENT ON TABLE focus_dismissals IS 'What a person has taken off their daily focus, why, and what pressed then: it is off while nothing else presses.';
CREATE INDEX focus_dismissals_user_id_idx ON focus_dismissals (organization_id, user_id, created_at, id);
CREATE UNIQUE INDEX focus_dismissals_deal_id_key ON focus_dismissals (organization_id, deal_id, user_id) WHERE deal_id IS NOT NULL;
CREATE UNIQUE INDEX focus_dismissals_lead_id_key ON focus_dismissals (organization_id, lead_id, user_id) WHERE lead_id IS NOT NULL;
CREATE UNIQUE INDEX focus_dismissals_task_id_key ON focus_dismissals (organization_id, task_id, user_id) WHERE task_id IS NOT NULL;
CREATE UNIQUE INDEX focus_dismissals_approval_id_key ON focus_dismissals (organization_id, approval_id, user_id) WHERE approval_id IS NOT NULL;
