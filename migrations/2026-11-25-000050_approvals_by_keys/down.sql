ALTER TABLE approvals DROP COLUMN api_key_id;
