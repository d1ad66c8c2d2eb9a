-- Who has work that is due, and what waits in which queue, are asked across organizations and many times a second. By this
-- index the question goes from one organization to the next, however many jobs each has and however many are for later.
CREATE INDEX queue_jobs_due_idx ON queue_jobs (queue, organization_id, kind, run_at) WHERE status = 'waiting';
-- The figures of the queues, read every half minute, pass over what was done more than a day ago.
CREATE INDEX queue_jobs_completed_idx ON queue_jobs (finished_at, queue) WHERE status = 'completed';
