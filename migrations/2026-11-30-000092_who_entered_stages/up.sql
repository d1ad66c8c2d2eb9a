-- Who made a deal is told by nothing else: a new record has no field history. Unknown for visits that began before this.
ALTER TABLE deal_stage_visits
    ADD COLUMN entered_by uuid,
    ADD CONSTRAINT deal_stage_visits_entered_by_fkey FOREIGN KEY (organization_id, entered_by) REFERENCES users;
CREATE INDEX deal_stage_visits_entered_by_idx ON deal_stage_visits (organization_id, entered_by) WHERE entered_by IS NOT NULL;
COMMENT ON COLUMN deal_stage_visits.entered_by IS 'The user who made or moved the deal; absent where the program did.';
