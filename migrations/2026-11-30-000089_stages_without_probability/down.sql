ALTER TABLE stages DROP CONSTRAINT stages_settled_probability_check;
UPDATE stages SET probability = 0 WHERE probability IS NULL;
ALTER TABLE stages ALTER COLUMN probability SET NOT NULL;
