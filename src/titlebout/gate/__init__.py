"""Champion against challenger on the same holdout."""
