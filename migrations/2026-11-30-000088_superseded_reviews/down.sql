ALTER TABLE win_loss_reviews DROP COLUMN superseded_by_id;
ALTER TABLE win_loss_reviews DROP COLUMN supersedes_id;
