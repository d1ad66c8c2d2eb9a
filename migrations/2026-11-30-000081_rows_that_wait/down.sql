DROP INDEX import_rows_approval_id_idx;
ALTER TABLE import_rows DROP CONSTRAINT import_rows_outcome_check;
UPDATE import_rows SET outcome = 'failed' WHERE outcome = 'waiting';
ALTER TABLE import_rows ADD CONSTRAINT import_rows_outcome_check
    CHECK (outcome IN ('created', 'updated', 'skipped', 'failed'));
ALTER TABLE import_rows DROP COLUMN approval_id;
ALTER TABLE imports DROP COLUMN waiting;
