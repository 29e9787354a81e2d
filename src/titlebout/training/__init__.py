"""Fit the team's pipeline."""
