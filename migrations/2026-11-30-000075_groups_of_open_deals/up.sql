-- A forecast adds up open deals by age and value, both pooled. The planner knows how many distinct ages and values there are
-- and expects as many groups: it then sorts all deals, or leaves the adding up to one process. Told how many pools there are,
-- it hashes and adds up in parallel. A sharded cluster takes no such hints, and adds up in parallel by itself.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        ALTER TABLE deals ALTER COLUMN value SET (n_distinct = 100), ALTER COLUMN stage_entered_at SET (n_distinct = 8);
        ANALYZE deals;
    END IF;
END
$$;
