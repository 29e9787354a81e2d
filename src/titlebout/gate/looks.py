"""Looks: the challengers that were evaluated within a year, and the significance level that is left for the next one.

With many challengers, one that is only as good as the champion wins sooner or later. The level of the k-th challenger since
the last one that was promoted as superior, within 365 days, is B / (k (k + 1)), where B is the accepted probability of a
false promotion in a year (alpha spending; the sum over all k is B). A promotion as superior restores B, as in alpha
investing (Foster and Stine 2008). It does not matter on which rows challengers were evaluated: those that share rows, as
the holdouts of neighboring weeks do, and those that do not add up alike.

Challengers are counted, not runs: evaluating the same model again is the same look. They are found in the git history,
in this clone's record, and in the log of retraining attempts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from titlebout.core.errors import ConfigError, ConflictError
from titlebout.data.moment import Moment
from titlebout.models.champion import anchor_at
from titlebout.repository.dvc_files import parse_trained_model
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name
from titlebout.repository.project import Project
from titlebout.settings.gate import GateSettings

YEAR = timedelta(days=365)
SUPERIOR = "superior"
_RECORD = re.compile(r"(\S+) (\d+)")
# Written by titlebout.policy.attempts, which this room cannot import: one JSON object a line.
_LOGS, _LOG_FILE = ("refs/titlebout/log", "refs/titlebout/origin/log"), "attempts.jsonl"
_NOT_PROMOTED = ("lost", "inconclusive")


@dataclass(frozen=True)
class Looks:
    """Challengers evaluated before, by content hash with the time of the first evaluation, and further attempts.

    Attributes
    ----------
    challengers : mapping of str to datetime
        Models of the git history and of this clone's record, with the time of the commit or the evaluation.
    attempts : int
        Retraining attempts in the log; each had a challenger of its own, most of which are in no commit.
    """

    challengers: Mapping[str, datetime] = field(default_factory=dict)
    attempts: int = 0

    def number(self, challenger: str) -> int:
        """Return the position of a challenger among all of them, from 1; the next one if it is new."""
        first = self.challengers.get(challenger)
        before = [at for model, at in self.challengers.items() if model != challenger and (first is None or at < first)]
        return max(len(before), self.attempts) + 1 if first is None else len(before) + 1


def level(settings: GateSettings, number: int) -> float:
    """Return the significance level of the challenger with this number, from 1, under the rule *superior*."""
    return min(settings.alpha, settings.false_promotions_per_year / (number * (number + 1)))


def find_looks(project: Project, git: Git, revision: str, data_end: str, now: datetime) -> Looks:
    """Return the challengers evaluated within a year and since the last promotion as superior.

    Parameters
    ----------
    project : Project
        Project that the models belong to.
    git : Git
        Repository whose branches and tags are searched; a shallow clone finds fewer challengers.
    revision : str
        Revision of the champion, up to which promotions count.
    data_end : str
        Newest time in the holdout (ISO 8601); empty without a time column. The log of attempts has times of the data.
    now : datetime
        With a time zone.
    """
    promoted = anchor_at(project, git, revision)
    restored = _time_of(git, promoted[0]) if promoted else datetime.min.replace(tzinfo=UTC)
    known = dict(sorted(_in_history(project, git), key=lambda entry: entry[1], reverse=True))
    for model, at in _recorded(project, git).items():
        known[model] = min(at, known.get(model, at))
    since = max(now - YEAR, restored)
    champion = promoted[1].output.md5 if promoted else ""
    challengers = {model: at for model, at in known.items() if at > since and model != champion}
    holdout = promoted[1].promotion.holdout if promoted else None
    return Looks(challengers, _attempts(project, git, data_end, holdout.end if holdout else ""))


def record_look(project: Project, git: Git, challenger: str, now: datetime) -> None:
    """Record in the local git folder that a challenger was evaluated; only the first time counts."""
    if challenger in _recorded(project, git):
        return
    path = _record(project, git)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{challenger} {int(now.timestamp())}\n")


def _record(project: Project, git: Git) -> Path:
    return git.private_folder() / "looks" / pipeline_name(project, git)


def _recorded(project: Project, git: Git) -> dict[str, datetime]:
    path = _record(project, git)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [match for line in lines if (match := _RECORD.fullmatch(line))]
    return {match[1]: datetime.fromtimestamp(int(match[2]), UTC) for match in found}


def _in_history(project: Project, git: Git) -> Iterator[tuple[str, datetime]]:
    """Yield the models of every version of ``dvc.lock`` with the time of its commit."""
    path = f"{project.pipeline_dir.relative_to(git.root).as_posix()}/dvc.lock"
    at, models = datetime.min.replace(tzinfo=UTC), dict[str, str]()
    for line in git.output("log", "--all", "--format=@%ct", "--raw", "--no-abbrev", "--", path).splitlines():
        if line.startswith("@"):
            at = datetime.fromtimestamp(int(line[1:]), UTC)
        elif line.startswith(":") and line.split()[4] != "D":
            blob = line.split()[3]
            if blob not in models:
                models[blob] = _model(git.run("cat-file", "blob", blob).stdout, path)
            if models[blob]:
                yield models[blob], at


def _model(text: str, path: str) -> str:
    """Return the model of one version of ``dvc.lock``; empty if it has none or was committed in a conflict."""
    with suppress(ConfigError, ConflictError):
        model = parse_trained_model(text, path)
        return model.md5 if model else ""
    return ""


def _time_of(git: Git, commit: str) -> datetime:
    return datetime.fromtimestamp(int(git.output("show", "--no-patch", "--format=%ct", commit)), UTC)


def _attempts(project: Project, git: Git, data_end: str, restored: str) -> int:
    """Return the number of attempts in the log that count as looks."""
    lines = {line for log in _LOGS for line in _lines(git, f"{log}/{pipeline_name(project, git)}")}
    logged = [_parse(line) for line in lines]
    attempts = [
        (at, one.get("reason", ""), one.get("outcome", "")) for one in logged if (at := Moment.read(one.get("at", "")))
    ]
    return unpromoted(attempts, project.settings.gate, Moment.read(restored), Moment.read(data_end))


def unpromoted(
    attempts: Iterable[tuple[Moment, str, str]], settings: GateSettings, since: Moment | None, end: Moment | None
) -> int:
    """Return the number of attempts under the rule *superior* that did not promote, within a year of the data.

    Parameters
    ----------
    attempts : iterable of (Moment, str, str)
        Data time, reason and outcome.
    settings : GateSettings
        Rules by reason.
    since : Moment or None
        Newest time in the holdout of the last promotion as superior; older attempts do not count.
    end : Moment or None
        Newest time in the data.
    """
    rules = settings.rules.model_dump()
    return sum(
        outcome in _NOT_PROMOTED
        and rules.get(reason, SUPERIOR) == SUPERIOR
        and (since is None or at > since)
        and (end is None or not _older(at, end))
        for at, reason, outcome in attempts
    )


def _older(at: Moment, end: Moment) -> bool:
    both = (at.value, end.value)
    return isinstance(both[0], datetime) and isinstance(both[1], datetime) and both[0] < both[1] - YEAR


def _lines(git: Git, ref: str) -> list[str]:
    commit = git.resolve(ref)
    return (git.show(commit, _LOG_FILE) or "").splitlines() if commit else []


def _parse(line: str) -> dict[str, str]:
    """Return the fields of one line of the log; none if it is invalid."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}
