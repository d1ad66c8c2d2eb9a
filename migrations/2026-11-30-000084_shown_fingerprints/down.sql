ALTER TABLE alerts DROP COLUMN shown_fingerprint;
