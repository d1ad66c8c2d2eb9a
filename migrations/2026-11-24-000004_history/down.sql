DROP TABLE reason_rules, history_heads;
DROP INDEX reason_codes_code_key;
ALTER TABLE reason_codes
    DROP COLUMN entity_type,
    DROP COLUMN field_name,
    DROP COLUMN created_at,
    DROP COLUMN updated_at,
    DROP COLUMN version;
CREATE UNIQUE INDEX reason_codes_code_key ON reason_codes (organization_id, outcome, code);
DROP INDEX field_history_entity_idx, field_history_reason_code_idx, field_history_change_set_id_idx, field_history_seq_key;
CREATE INDEX field_history_entity_idx ON field_history (organization_id, entity_type, entity_id, id);
ALTER TABLE field_history
    DROP COLUMN seq,
    DROP COLUMN old_label,
    DROP COLUMN new_label,
    DROP COLUMN old_salt,
    DROP COLUMN new_salt,
    DROP COLUMN words_salt,
    DROP COLUMN old_digest,
    DROP COLUMN new_digest,
    DROP COLUMN words_digest,
    DROP COLUMN hash;
