-- A request names every policy that wants it approved, and what is done where that is more than a change of one record.
-- A write of a record finds the requests about it by an index of those that wait alone.

ALTER TABLE approvals ADD COLUMN policies jsonb NOT NULL DEFAULT jsonb_build_array();
ALTER TABLE approvals ADD COLUMN command text;
ALTER TABLE approvals ADD CONSTRAINT approvals_command_check CHECK (command IN ('convert'));
COMMENT ON COLUMN approvals.policies IS 'The policies that want the approval, with their names as they were: [{id, name}].';
COMMENT ON COLUMN approvals.command IS 'What is done with the record, where that is neither its creation nor its change nor its deletion.';
UPDATE approvals a SET policies = jsonb_build_array(jsonb_build_object('id', a.policy_id, 'name', coalesce(
    (SELECT p.name FROM policies p WHERE p.organization_id = a.organization_id AND p.id::text = a.policy_id), a.policy_id)));
CREATE INDEX approvals_pending_resource_idx ON approvals (organization_id, resource_id) WHERE status = 'pending';
