"""Names of retraining reasons and backtest strategies, shared by policy, gate, pull request and backtest."""

# Each is also a key of gate.rules, which has one key more: "change", for code or parameters changed by hand.
REASONS = ("manual", "schedule", "volume", "age", "follow_up", "perf_decay", "drift")
# Strategies that a backtest compares, in display order; defined in titlebout.backtest.strategies.
STRATEGY_NAMES = ("never", "every_ungated", "every", "any_drift", "drift_share", "titlebout")
