-- Recurring work, and the backups that were taken.

CREATE TABLE schedules (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    kind text NOT NULL,
    rule text NOT NULL,
    timezone text NOT NULL,
    next_run_at timestamptz NOT NULL,
    last_due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);
SELECT heimdell_tenant_table('schedules');
COMMENT ON TABLE schedules IS 'When each kind of recurring job is due next. The row is locked while a due run is put into the queue: once, however many processes look.';
CREATE UNIQUE INDEX schedules_kind_key ON schedules (organization_id, kind);

CREATE TABLE backups (
    id uuid NOT NULL PRIMARY KEY,
    file_name text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    verified_at timestamptz,
    bytes bigint,
    sha256 bytea,
    rows_count bigint,
    CONSTRAINT backups_bytes_check CHECK (bytes >= 0),
    CONSTRAINT backups_rows_count_check CHECK (rows_count >= 0),
    CONSTRAINT backups_sha256_check CHECK (octet_length(sha256) = 32)
);
COMMENT ON TABLE backups IS 'Backups of the whole installation. Global: one file holds the rows of every organization, and no one of them may see the others.';
CREATE INDEX backups_verified_at_idx ON backups (verified_at) WHERE verified_at IS NOT NULL;
