-- A request that is made again is the one that waits already.

CREATE INDEX approvals_waiting_idx ON approvals (organization_id, requested_by, resource, action) WHERE status = 'pending';
