"""A team's past data under several retraining strategies."""
