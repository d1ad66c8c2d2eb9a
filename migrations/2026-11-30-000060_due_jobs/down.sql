DROP INDEX queue_jobs_completed_idx;
DROP INDEX queue_jobs_due_idx;
