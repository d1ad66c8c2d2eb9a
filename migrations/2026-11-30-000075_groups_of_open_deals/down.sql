DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        ALTER TABLE deals ALTER COLUMN value RESET (n_distinct), ALTER COLUMN stage_entered_at RESET (n_distinct);
        ANALYZE deals;
    END IF;
END
$$;
