ALTER TABLE webhooks DROP COLUMN held_at;
