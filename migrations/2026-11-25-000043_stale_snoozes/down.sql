ALTER TABLE deals DROP COLUMN stale_snoozed_until;
