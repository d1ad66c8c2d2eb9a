DROP INDEX approvals_waiting_idx;
