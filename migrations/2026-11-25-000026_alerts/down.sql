DROP INDEX queue_jobs_failed_idx;
DROP TABLE alerts;
