"""Decide, retrain, and propose one pull request."""
