-- Which way a message or a call went: in from the buyer or out to them. Unknown where nobody said.
ALTER TABLE activities ADD COLUMN direction text;
ALTER TABLE activities ADD CONSTRAINT activities_direction_check
    CHECK (direction IS NULL OR direction IN ('in', 'out') AND type IN ('call', 'email', 'other'));
CREATE INDEX activities_inbound_idx ON activities (organization_id, occurred_at, id) WHERE direction = 'in';
