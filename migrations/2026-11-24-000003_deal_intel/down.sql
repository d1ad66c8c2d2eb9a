DROP INDEX deals_open_idx;
CREATE INDEX deals_open_idx ON deals (organization_id, pipeline_id, stage_id)
    INCLUDE (value, currency, probability, business_unit_id, owner_id, expected_close_date)
    WHERE status = 'open';
DROP TABLE deal_intel;
