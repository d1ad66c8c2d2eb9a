-- A field history that proves itself, reads as it read at the time, and says why where the organization wants to know.
--
-- Each row carries its number in its organization, the hash of all rows up to it, and salted digests of its values and words. Values
-- and salts can be erased; the digests stay, and the chain with them. The head says how the chain ends.

ALTER TABLE field_history
    ADD COLUMN seq bigint NOT NULL,
    ADD COLUMN old_label text,
    ADD COLUMN new_label text,
    ADD COLUMN old_salt bytea,
    ADD COLUMN new_salt bytea,
    ADD COLUMN words_salt bytea,
    ADD COLUMN old_digest bytea NOT NULL,
    ADD COLUMN new_digest bytea NOT NULL,
    ADD COLUMN words_digest bytea,
    ADD COLUMN hash bytea NOT NULL;
CREATE UNIQUE INDEX field_history_seq_key ON field_history (organization_id, seq);
CREATE INDEX field_history_change_set_id_idx ON field_history (organization_id, change_set_id);
CREATE INDEX field_history_reason_code_idx ON field_history (organization_id, reason_code, changed_at, id)
    WHERE reason_code IS NOT NULL;
-- The history of one record in the order in which it is told.
DROP INDEX field_history_entity_idx;
CREATE INDEX field_history_entity_idx ON field_history (organization_id, entity_type, entity_id, changed_at, id);

CREATE TABLE history_heads (
    organization_id uuid NOT NULL PRIMARY KEY REFERENCES organizations (id),
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL
);
SELECT heimdell_tenant_table('history_heads');
COMMENT ON TABLE history_heads IS 'How the chain of each organization''s field history ends: the last number and hash.';

-- Codes are records: a change of one is told like any other.
ALTER TABLE reason_codes
    ADD COLUMN entity_type text,
    ADD COLUMN field_name text,
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE reason_codes ALTER COLUMN created_at DROP DEFAULT, ALTER COLUMN updated_at DROP DEFAULT;
DROP INDEX reason_codes_code_key;
CREATE UNIQUE INDEX reason_codes_code_key
    ON reason_codes (organization_id, outcome, code, coalesce(entity_type, ''), coalesce(field_name, ''));

CREATE TABLE reason_rules (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    entity_type text NOT NULL,
    field_name text,
    condition jsonb NOT NULL,
    is_required boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('reason_rules');
COMMENT ON TABLE reason_rules IS 'Which changes need a reason code.';
