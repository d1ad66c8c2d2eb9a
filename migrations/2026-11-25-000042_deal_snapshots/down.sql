DROP TABLE snapshot_heads;
DROP TABLE deal_snapshots;
