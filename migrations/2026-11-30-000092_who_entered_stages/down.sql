ALTER TABLE deal_stage_visits DROP COLUMN entered_by;
