"""The one place that knows GitHub's file formats: where a run stands, and what it hands to the workflow.

Everywhere else the same command runs on a laptop: without the runner's files, outputs and summary are no-ops.
"""

import json
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from titlebout.core.errors import DataError, DiskError

SUMMARY_LIMIT = 900_000  # bytes; the runner drops a summary of more than 1 MiB whole
ANNOTATION_LIMIT = 4096  # characters; the runner cuts what is longer
_PROPERTY_LIMIT = 1000  # characters, so that a long file name leaves room for the message
_SUMMARY_CUT = "\n\n*This summary was cut here, at the size GitHub accepts. The reports hold all of it.*\n"
_OUTPUT_NAME = re.compile(r"[a-z][a-z0-9-]*")
_REVISION = re.compile(r"(?!0+\Z)([0-9a-f]{40}|[0-9a-f]{64})")
_V2_COMMAND = re.compile(r"^([^\w\n]*?)::", re.MULTILINE)
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY_ESCAPES = {**_ESCAPES, ":": "%3A", ",": "%2C"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ci:
    """Where this process runs, as the runner's environment tells it; the defaults are those of a laptop.

    Attributes
    ----------
    on_actions : bool
        True under GitHub Actions and what imitates it.
    output_path, summary_path : Path or None
        The step's output and summary files.
    run_url : str or None
        The page of this workflow run.
    before : str or None
        Commit the branch stood at before the push; None for other events and new branches.
    base_ref : str or None
        Branch a pull request wants to be merged into.
    token : str or None
        What ``TITLEBOUT_TOKEN`` holds; never shown by ``repr``.
    """

    on_actions: bool = False
    output_path: Path | None = None
    summary_path: Path | None = None
    api_url: str = "https://api.github.com"
    server_url: str = "https://github.com"
    repository: str | None = None
    run_url: str | None = None
    event_name: str | None = None
    ref: str | None = None
    sha: str | None = None
    before: str | None = None
    base_ref: str | None = None
    token: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the runner's environment; a variable that is empty counts as not set."""
        given = os.environ if environ is None else environ  # noqa: TID251 - this module owns the runner's variables

        def get(name: str) -> str | None:
            return given.get(name, "").strip() or None

        server_url = (get("GITHUB_SERVER_URL") or cls.server_url).rstrip("/")
        repository, run_id = get("GITHUB_REPOSITORY"), get("GITHUB_RUN_ID")
        return cls(
            on_actions=get("GITHUB_ACTIONS") == "true",
            output_path=_path(get("GITHUB_OUTPUT")),
            summary_path=_path(get("GITHUB_STEP_SUMMARY")),
            api_url=(get("GITHUB_API_URL") or cls.api_url).rstrip("/"),
            server_url=server_url,
            repository=repository,
            run_url=f"{server_url}/{repository}/actions/runs/{run_id}" if repository and run_id else None,
            event_name=get("GITHUB_EVENT_NAME"),
            ref=get("GITHUB_REF"),
            sha=get("GITHUB_SHA"),
            before=_before(_path(get("GITHUB_EVENT_PATH"))) if get("GITHUB_EVENT_NAME") == "push" else None,
            base_ref=get("GITHUB_BASE_REF"),
            token=get("TITLEBOUT_TOKEN"),
        )

    def write_outputs(self, outputs: Mapping[str, object]) -> None:
        """Hand values to the workflow: booleans as ``true``/``false``, text as it is, the rest as compact JSON.

        Raises
        ------
        ValueError
            If a name is not of the form ``[a-z][a-z0-9-]*``; names come from our code, never from data.
        DataError
            If a value holds a NUL or a lone surrogate, which the file cannot carry.
        DiskError
            If the file cannot be written.
        """
        if self.output_path is not None:
            _append(self.output_path, "".join(_output(name, value) for name, value in outputs.items()).encode())

    def write_summary(self, markdown: str) -> None:
        """Append to the job summary; what exceeds the step's budget is cut at a line end, and the page says so.

        Raises
        ------
        DiskError
            If the file cannot be written.
        """
        if self.summary_path is None:
            return
        written = self.summary_path.stat().st_size if self.summary_path.exists() else 0
        room = SUMMARY_LIMIT - written - len(_SUMMARY_CUT)
        text = markdown.rstrip("\n").encode(errors="replace") + b"\n\n"
        if len(text) > room:
            logger.warning("the job summary was cut: it is %d bytes, there was room for %d", len(text), max(room, 0))
            text = text[: text.rfind(b"\n", 0, room) + 1] + _SUMMARY_CUT.encode() if room >= 0 else b""
        _append(self.summary_path, text)


def annotation(
    level: Literal["notice", "warning", "error"],
    message: str,
    *,
    file: str | None = None,
    line: int | None = None,
    title: str | None = None,
) -> str:
    """Return the line that, printed, makes the runner show ``message`` beside ``file`` and ``line``."""
    given = {"file": file, "line": line, "title": title}
    properties = ",".join(
        f"{key}={_escape(str(value), _PROPERTY_ESCAPES, _PROPERTY_LIMIT)}"
        for key, value in given.items()
        if value is not None
    )
    head = f"::{level} {properties}::" if properties else f"::{level}::"
    return head + _escape(message, _ESCAPES, ANNOTATION_LIMIT - len(head))


def defang(text: str) -> str:
    """Return the output of a child process so that the runner reads no line of it as a workflow command.

    The runner takes ``::name::`` after any leading blanks and ``##[name]`` anywhere in a line, and ends a line at a
    carriage return too. ``text`` must begin where a line begins. Both marks stay readable: ``: :name::``, ``## [name]``.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _V2_COMMAND.sub(r"\1: :", lines).replace("##[", "## [")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _before(event: Path | None) -> str | None:
    """Return the ``before`` commit of a push event; all zeros stand for "there was no such branch"."""
    if event is None:
        return None
    try:
        before = json.loads(event.read_text(encoding="utf-8"))["before"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("cannot read what was pushed from %s: %s", event.name, error)
        return None
    return before if isinstance(before, str) and _REVISION.fullmatch(before) else None


def _output(name: str, value: object) -> str:
    """Return one entry of the output file, between two copies of a mark that nobody can guess.

    Raises
    ------
    ValueError
        If the name is none.
    DataError
        If the value holds what the file cannot carry.
    """
    if not _OUTPUT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an output")
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    )
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise DataError(
            f"the output {name!r} holds a character that a workflow cannot receive",
            why="a NUL or a lone surrogate, most likely from a column or file name",
            fix="rename what carries it",
        )
    while (mark := secrets.token_hex(16)) in text:
        pass
    return f"{name}<<{mark}\n{text}\n{mark}\n"


def _append(path: Path, text: bytes) -> None:
    try:
        with path.open("ab") as stream:
            stream.write(text)
    except OSError as error:
        raise DiskError(
            f"cannot write {path.name}", where=str(path), why=str(error), fix="free some space or check the permissions"
        ) from error


def _escape(text: str, escapes: Mapping[str, str], limit: int) -> str:
    """Return ``text`` as part of a workflow command, at most ``limit`` characters, no escape torn apart."""
    escaped = "".join(escapes.get(char, char) for char in text)
    if len(escaped) <= limit:
        return escaped
    return re.sub(r"%.?$", "", escaped[: limit - 1]) + "…"
