-- How each deal stood at the end of each day, as spans of days on which nothing of it changed.
CREATE TABLE deal_snapshots (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    deal_id uuid NOT NULL,
    from_on date NOT NULL,
    until_on date,
    status text NOT NULL,
    value numeric(19, 4),
    currency text NOT NULL,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    business_unit_id uuid,
    owner_id uuid,
    expected_close_date date,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT deal_snapshots_status_check CHECK (status IN ('open', 'won', 'lost')),
    CONSTRAINT deal_snapshots_until_on_check CHECK (until_on > from_on)
);
SELECT heimdell_tenant_table('deal_snapshots');
COMMENT ON TABLE deal_snapshots IS 'How deals stood at the end of each day from from_on to before until_on. Deals that were deleted stay.';
CREATE UNIQUE INDEX deal_snapshots_from_on_key ON deal_snapshots (organization_id, deal_id, from_on);
CREATE INDEX deal_snapshots_open_idx ON deal_snapshots (organization_id, from_on, until_on)
    INCLUDE (deal_id, value, currency, pipeline_id, business_unit_id, owner_id, expected_close_date)
    WHERE status = 'open';

CREATE TABLE snapshot_heads (
    organization_id uuid NOT NULL PRIMARY KEY REFERENCES organizations (id),
    taken_until_on date NOT NULL,
    taken_at timestamptz NOT NULL
);
SELECT heimdell_tenant_table('snapshot_heads');
COMMENT ON TABLE snapshot_heads IS 'Up to which day each organization has snapshots, and when they were last taken.';
