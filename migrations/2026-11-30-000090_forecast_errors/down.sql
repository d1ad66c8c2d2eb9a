DROP TABLE forecast_errors;
