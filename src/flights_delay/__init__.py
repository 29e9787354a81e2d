"""The team's part of flights-delay: which features, which model."""
