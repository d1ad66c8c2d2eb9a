-- A request that a program made is done with what its key may, or not at all where the key is gone.

ALTER TABLE approvals ADD COLUMN api_key_id uuid;
COMMENT ON COLUMN approvals.api_key_id IS 'The API key that asked in the name of requested_by. It may be gone by now, so nothing refers to it.';
