-- Who does jobs.

CREATE TABLE workers (
    id uuid NOT NULL PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    program_version text NOT NULL,
    queues jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL
);
COMMENT ON TABLE workers IS 'Workers, with when each was last heard of. Global: a worker does the jobs of every organization.';
