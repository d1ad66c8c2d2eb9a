-- What somebody rarely did, and what rarely changes, is found among the recent changes without reading all of them.

CREATE INDEX field_history_changed_by_idx ON field_history (organization_id, changed_by, changed_at, id)
    WHERE changed_by IS NOT NULL;
CREATE INDEX field_history_field_name_idx ON field_history (organization_id, field_name, changed_at, id);
