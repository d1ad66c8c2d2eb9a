ALTER TABLE import_rows DROP COLUMN warnings;
ALTER TABLE imports DROP COLUMN warnings;
