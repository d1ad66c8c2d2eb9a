-- Until when a stale deal is left alone. Why and by whom stands in the field history.
ALTER TABLE deals ADD COLUMN stale_snoozed_until timestamptz;
