"""Why a model is trained again, and when: the words that policy, gate, pull request and backtest share."""

# Each is a key of gate.rules. A change by people is the one reason that is not a retraining.
REASONS = ("manual", "schedule", "volume", "age", "follow_up", "perf_decay", "drift")
# Whom a backtest compares, in the order in which they are shown; see titlebout.backtest.strategies.
POLICIES = ("never", "every_ungated", "every", "any_drift", "drift_share", "titlebout")
