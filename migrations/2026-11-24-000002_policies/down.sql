DROP TABLE approvals, policies;
ALTER TABLE organizations DROP COLUMN policy_version;
