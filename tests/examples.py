"""How many examples a property is tried with: `--hypothesis-profile` says it for all of them.

| profile | examples | used by |
|---|---|---|
| fast | 15 | `make test-fast` |
| ci | 50 | `make test`, and pytest alone |
| nightly | 300 | `make test-nightly` |
"""

from hypothesis import settings

PROFILES = {"fast": 15, "ci": 50, "nightly": 300}


def register() -> None:
    """Register the profiles and load that of `make test`; the examples of a night are new ones each time."""
    for name, examples in PROFILES.items():
        settings.register_profile(
            name, deadline=None, derandomize=name != "nightly", max_examples=examples, print_blob=True
        )
    settings.load_profile("ci")


def share(part: float) -> settings:
    """Return settings for a costly property: a part of the examples that the others get."""
    return settings(max_examples=round(part * settings.default.max_examples))
