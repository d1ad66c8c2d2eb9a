DROP INDEX approvals_pending_resource_idx;
ALTER TABLE approvals DROP COLUMN command;
ALTER TABLE approvals DROP COLUMN policies;
