-- How long deals may stand in a stage altogether, touched or not.
ALTER TABLE stages ADD COLUMN max_days_in_stage integer;
ALTER TABLE stages ADD CONSTRAINT stages_max_days_in_stage_check CHECK (max_days_in_stage > 0);
