"""Drift: compare current data with the data the champion was trained on."""
