"""Metrics with standard errors, and inference on their differences."""
