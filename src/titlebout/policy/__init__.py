"""Retraining policy: when to attempt a retraining."""
