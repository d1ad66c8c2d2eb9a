-- How far forecasts of the past have missed, computed at night, so that a forecast of today can say how far to doubt it without
-- replaying any.
CREATE TABLE forecast_errors (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    pipeline_id uuid,
    audience text NOT NULL,
    common_error double precision,
    forecasts_count integer NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT forecast_errors_pipeline_id_fkey FOREIGN KEY (organization_id, pipeline_id) REFERENCES pipelines ON DELETE CASCADE,
    CONSTRAINT forecast_errors_common_error_check CHECK (common_error >= 0),
    CONSTRAINT forecast_errors_forecasts_count_check CHECK (forecasts_count >= 0)
);
SELECT heimdell_tenant_table('forecast_errors');
COMMENT ON TABLE forecast_errors IS 'The error that forecasts have in common, for each set of business units that somebody sees; without a pipeline, over all of them.';
-- The organization stands for all of its pipelines: a null would be unlike every other.
CREATE UNIQUE INDEX forecast_errors_audience_key
    ON forecast_errors (organization_id, audience, coalesce(pipeline_id, organization_id));
CREATE INDEX forecast_errors_pipeline_id_idx ON forecast_errors (organization_id, pipeline_id);
