"""Tables, column kinds, current data, new rows and the holdout split."""
