-- An open stage for which nobody has set a probability has none; a forecast then goes by what history says. Before, it had a
-- silent 0. What stands at 0 already stays so: nobody can tell whether it was meant.
ALTER TABLE stages ALTER COLUMN probability DROP NOT NULL;
ALTER TABLE stages ADD CONSTRAINT stages_settled_probability_check CHECK (kind = 'open' OR probability IS NOT NULL);
