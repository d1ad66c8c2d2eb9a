-- Rows that land although something about them wants a look: a reference left blank, a word read as another.
ALTER TABLE imports ADD COLUMN warnings integer NOT NULL DEFAULT 0;
ALTER TABLE import_rows ADD COLUMN warnings jsonb;
