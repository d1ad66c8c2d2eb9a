DROP TABLE policy_shadows;
