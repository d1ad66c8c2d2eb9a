DROP TABLE backups;
DROP TABLE schedules;
