DROP INDEX activities_inbound_idx;
ALTER TABLE activities DROP COLUMN direction;
