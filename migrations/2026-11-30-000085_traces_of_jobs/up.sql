-- The span that put a job into the queue, as the header `traceparent` says it: the job goes on with its trace.
ALTER TABLE queue_jobs ADD COLUMN traceparent text;
