"""Reference data against current data."""
