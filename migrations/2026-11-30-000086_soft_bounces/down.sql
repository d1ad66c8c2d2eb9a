DROP TABLE soft_bounces;
