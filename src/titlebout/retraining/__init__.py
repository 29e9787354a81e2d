"""Decide on a retraining, run it, and open its pull request."""
