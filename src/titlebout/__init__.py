"""CI/CD/CT for machine learning: every retrained model has to win the title from the one that serves."""

__version__ = "0.1.0"
