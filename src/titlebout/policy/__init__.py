"""When a retraining is worth an attempt."""
