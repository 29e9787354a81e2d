"""Backtest: a project's past data under several retraining strategies."""
