-- What is known about a deal beside its fields. There is one to a deal, and its id is the deal's.
CREATE TABLE deal_intel (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    decision_maker text,
    key_pain_points text[] NOT NULL DEFAULT ARRAY[]::text[],
    objections text[] NOT NULL DEFAULT ARRAY[]::text[],
    what_worked text,
    what_failed text,
    competitors text[] NOT NULL DEFAULT ARRAY[]::text[],
    pricing_notes text,
    next_step_commitment text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT deal_intel_id_fkey FOREIGN KEY (organization_id, id) REFERENCES deals ON DELETE CASCADE
);
SELECT heimdell_tenant_table('deal_intel');
COMMENT ON TABLE deal_intel IS 'Decision makers, pain points, objections and competitors of a deal. Its id is the deal''s.';

-- Forecasts and stale deals read open deals with their age: all of it from one index.
DROP INDEX deals_open_idx;
CREATE INDEX deals_open_idx ON deals (organization_id, pipeline_id, stage_id)
    INCLUDE (value, currency, probability, business_unit_id, owner_id, expected_close_date, stage_entered_at, last_activity_at, created_at)
    WHERE status = 'open';
