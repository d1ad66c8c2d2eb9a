DROP TABLE stage_statistics;
