ALTER TABLE stages DROP COLUMN max_days_in_stage;
