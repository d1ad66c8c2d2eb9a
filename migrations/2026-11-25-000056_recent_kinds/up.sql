-- What has changed of late in a kind of record that rarely changes is found without reading all changes of the others.

CREATE INDEX field_history_entity_type_idx ON field_history (organization_id, entity_type, changed_at, id);
