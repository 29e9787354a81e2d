"""Two models and the verdict of a gate about them, as tests of champion.dvc need them."""

from typing import Any

from titlebout.repository.dvc_files import Pointer

MODEL = Pointer("0123456789abcdef0123456789abcdef.dir", 1234, 4)
OTHER = Pointer("fedcba9876543210fedcba9876543210.dir", 99, 4)


def verdict(model: Pointer = MODEL, champion: Pointer | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "verdict": "promote",
        "challenger": model.md5,
        "champion": champion.md5 if champion else "",
        "reason": "change" if champion else "first",
        "rule": "superior" if champion else "first",
        "metric": "log_loss",
        "challenger_score": 0.4,
        "champion_score": 0.5 if champion else None,
        "holdout": {"rows": 168, "fingerprint": "ab", "start": "", "end": ""},
    } | changes
