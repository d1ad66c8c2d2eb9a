DROP TABLE policies;
ALTER TABLE organizations DROP COLUMN policy_version;
