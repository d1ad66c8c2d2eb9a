-- What a user is told of. A row holds ids and facts; its words are made when it is read, as its reader may see the record then.
CREATE TABLE notifications (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid,
    entities_count integer NOT NULL DEFAULT 1,
    body text,
    actor_id uuid,
    change_set_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    read_at timestamptz,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT notifications_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE,
    CONSTRAINT notifications_actor_id_fkey FOREIGN KEY (organization_id, actor_id) REFERENCES users,
    CONSTRAINT notifications_kind_check CHECK (kind IN ('task_assigned', 'lead_assigned', 'deal_assigned',
        'import_completed', 'import_failed', 'alert_raised', 'approval_requested', 'approval_decided')),
    CONSTRAINT notifications_entities_count_check CHECK ((entities_count = 1) = (entity_id IS NOT NULL))
);
SELECT heimdell_tenant_table('notifications');
COMMENT ON TABLE notifications IS 'What users are told of. What one request does of a kind is told once, with its number.';
CREATE UNIQUE INDEX notifications_change_set_id_key ON notifications (organization_id, change_set_id, user_id, kind);
CREATE INDEX notifications_created_at_idx ON notifications (organization_id, user_id, created_at, id);
CREATE INDEX notifications_unread_idx ON notifications (organization_id, user_id, created_at, id) WHERE read_at IS NULL;
