"""Why a model is trained again: the words that policy, gate and pull request share."""

# Each is a key of gate.rules. A change by people is the one reason that is not a retraining.
REASONS = ("manual", "schedule", "volume", "age", "follow_up", "perf_decay", "drift")
