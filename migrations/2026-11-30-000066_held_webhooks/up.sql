-- After a restore nothing is sent to a webhook until somebody lets it: the messages may have arrived since the backup.

ALTER TABLE webhooks ADD COLUMN held_at timestamptz;
COMMENT ON COLUMN webhooks.held_at IS 'Since when messages wait, after the database was restored; null where they are sent.';
