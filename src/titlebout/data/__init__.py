"""Tables, columns, new rows and the holdout."""
