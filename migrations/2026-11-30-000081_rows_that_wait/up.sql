-- A row of an import that needs an approval waits for it, and is counted where it belongs once that is decided.

ALTER TABLE imports ADD COLUMN waiting integer NOT NULL DEFAULT 0;
ALTER TABLE import_rows ADD COLUMN approval_id uuid;
ALTER TABLE import_rows DROP CONSTRAINT import_rows_outcome_check;
ALTER TABLE import_rows ADD CONSTRAINT import_rows_outcome_check
    CHECK (outcome IN ('created', 'updated', 'skipped', 'waiting', 'failed'));
COMMENT ON COLUMN import_rows.approval_id IS 'The request for approval that the row waits for, or did.';
CREATE INDEX import_rows_approval_id_idx ON import_rows (organization_id, approval_id) WHERE approval_id IS NOT NULL;
