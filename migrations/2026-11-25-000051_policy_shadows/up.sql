-- What drafts among the policies would have decided otherwise.

CREATE TABLE policy_shadows (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    count bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    examples jsonb NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT policy_shadows_id_fkey FOREIGN KEY (organization_id, id) REFERENCES policies ON DELETE CASCADE
);
SELECT heimdell_tenant_table('policy_shadows');
COMMENT ON TABLE policy_shadows IS 'What a draft policy, whose id it bears, would have decided otherwise since it was last changed.';
COMMENT ON COLUMN policy_shadows.examples IS 'The latest decisions, newest first, at most 20.';
