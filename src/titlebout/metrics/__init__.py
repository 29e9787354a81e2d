"""Metrics with standard errors."""
