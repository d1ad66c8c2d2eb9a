-- A review says which one it takes the place of, and a past one which has taken its own.
ALTER TABLE win_loss_reviews ADD COLUMN supersedes_id uuid;
ALTER TABLE win_loss_reviews ADD COLUMN superseded_by_id uuid;

UPDATE win_loss_reviews r
SET supersedes_id = n.before, superseded_by_id = n.behind
FROM (SELECT organization_id, id, lag(id) OVER way AS before, lead(id) OVER way AS behind FROM win_loss_reviews
      WINDOW way AS (PARTITION BY organization_id, deal_id ORDER BY episode)) n
WHERE n.organization_id = r.organization_id AND n.id = r.id AND (n.before IS NOT NULL OR n.behind IS NOT NULL);

ALTER TABLE win_loss_reviews ADD CONSTRAINT win_loss_reviews_supersedes_id_fkey
    FOREIGN KEY (organization_id, supersedes_id) REFERENCES win_loss_reviews;
ALTER TABLE win_loss_reviews ADD CONSTRAINT win_loss_reviews_superseded_by_id_fkey
    FOREIGN KEY (organization_id, superseded_by_id) REFERENCES win_loss_reviews;
-- Whoever deletes a deal looks for what refers to its reviews.
CREATE INDEX win_loss_reviews_supersedes_id_idx ON win_loss_reviews (organization_id, supersedes_id)
    WHERE supersedes_id IS NOT NULL;
CREATE INDEX win_loss_reviews_superseded_by_id_idx ON win_loss_reviews (organization_id, superseded_by_id)
    WHERE superseded_by_id IS NOT NULL;
