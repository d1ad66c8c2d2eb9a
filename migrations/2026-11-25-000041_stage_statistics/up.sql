-- What became of the deals that stood in each stage, computed at night and after closes, so that forecasts need not read
-- every history.
CREATE TABLE stage_statistics (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    audience text NOT NULL,
    statistics jsonb NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT stage_statistics_stage_id_fkey FOREIGN KEY (organization_id, pipeline_id, stage_id)
        REFERENCES stages (organization_id, pipeline_id, id) ON DELETE CASCADE
);
SELECT heimdell_tenant_table('stage_statistics');
COMMENT ON TABLE stage_statistics IS 'Conversion rates and times of each stage, for each set of business units that somebody sees.';
CREATE UNIQUE INDEX stage_statistics_audience_key ON stage_statistics (organization_id, audience, pipeline_id, stage_id);
