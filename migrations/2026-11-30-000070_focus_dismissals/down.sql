DROP TABLE focus_dismissals;
