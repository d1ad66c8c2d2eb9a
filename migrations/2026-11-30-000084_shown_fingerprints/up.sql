-- A fingerprint that somebody has sent is kept apart from those of the system by what stands before it, and read without.
ALTER TABLE alerts ADD COLUMN shown_fingerprint text NOT NULL GENERATED ALWAYS AS (
    CASE WHEN is_manual AND starts_with(fingerprint, 'manual:') THEN substr(fingerprint, 8) ELSE fingerprint END) STORED;
CREATE INDEX alerts_shown_fingerprint_idx ON alerts (organization_id, shown_fingerprint, id);
