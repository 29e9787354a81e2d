"""GitHub Actions: the environment of a workflow run, step outputs, job summaries and annotations.

The only module that implements GitHub's file formats. Outside a workflow (on a laptop), outputs and summary are no-ops.
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

SUMMARY_LIMIT = 900_000  # bytes; the runner discards a summary of more than 1 MiB
ANNOTATION_LIMIT = 4096  # characters; the runner truncates longer ones
_PROPERTY_LIMIT = 1000  # characters, so that a long file name leaves room for the message
_SUMMARY_CUT = "\n\n*This summary was truncated at the size limit of GitHub. The reports contain the full text.*\n"
_OUTPUT_NAME = re.compile(r"[a-z][a-z0-9-]*")
_REVISION = re.compile(r"(?!0+\Z)([0-9a-f]{40}|[0-9a-f]{64})")
_V2_COMMAND = re.compile(r"^([^\w\n]*?)::", re.MULTILINE)
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY_ESCAPES = {**_ESCAPES, ":": "%3A", ",": "%2C"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ci:
    """Environment of the current workflow run; the defaults are those of a laptop.

    Attributes
    ----------
    on_actions : bool
        True under GitHub Actions and compatible runners.
    output_path, summary_path : Path or None
        Output and summary files of the step.
    api_url, server_url : str
        Root URLs of the API and of the web pages.
    repository : str or None
        ``owner/name``.
    run_url : str or None
        Web page of this workflow run.
    event_name : str or None
        Event that started the run.
    ref, sha : str or None
        Git ref and commit of the run.
    before : str or None
        Commit of the branch before the push; None for other events and new branches.
    base_ref : str or None
        Target branch of the pull request.
    token : str or None
        Value of ``TITLEBOUT_TOKEN``; excluded from ``repr``.
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
        """Read the runner's environment; an empty variable counts as unset."""
        variables = os.environ if environ is None else environ  # noqa: TID251 - this module owns the runner's variables

        def get(name: str) -> str | None:
            return variables.get(name, "").strip() or None

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
        """Append step outputs: text unchanged, everything else as compact JSON (booleans as ``true``/``false``).

        Raises
        ------
        ValueError
            If a name does not match ``[a-z][a-z0-9-]*``; names come from code, never from data.
        DataError
            If a value contains a NUL or a lone surrogate, which the file cannot represent.
        DiskError
            If the file cannot be written.
        """
        if self.output_path is not None:
            _append(self.output_path, "".join(_output(name, value) for name, value in outputs.items()).encode())

    def write_summary(self, markdown: str) -> None:
        """Append to the job summary; text beyond the size limit is truncated at a line end, with a note.

        Raises
        ------
        DiskError
            If the file cannot be written.
        """
        if self.summary_path is None:
            return
        written = self.summary_path.stat().st_size if self.summary_path.exists() else 0
        available = SUMMARY_LIMIT - written - len(_SUMMARY_CUT)
        text = markdown.rstrip("\n").encode(errors="replace") + b"\n\n"
        if len(text) > available:
            logger.warning("the job summary was truncated from %d to %d bytes", len(text), max(available, 0))
            text = text[: text.rfind(b"\n", 0, available) + 1] + _SUMMARY_CUT.encode() if available >= 0 else b""
        _append(self.summary_path, text)


def annotation(
    level: Literal["notice", "warning", "error"],
    message: str,
    *,
    file: str | None = None,
    line: int | None = None,
    title: str | None = None,
) -> str:
    """Return the workflow command that annotates ``file`` and ``line`` with ``message``."""
    fields = {"file": file, "line": line, "title": title}
    properties = ",".join(
        f"{key}={_escape(str(value), _PROPERTY_ESCAPES, _PROPERTY_LIMIT)}"
        for key, value in fields.items()
        if value is not None
    )
    head = f"::{level} {properties}::" if properties else f"::{level}::"
    return head + _escape(message, _ESCAPES, ANNOTATION_LIMIT - len(head))


def defang(text: str) -> str:
    """Return the output of a child process with all workflow commands disabled.

    The runner recognizes ``::name::`` after leading whitespace and ``##[name]`` anywhere in a line, and a carriage
    return ends a line too. ``text`` must start at the start of a line. A space breaks both forms and keeps them
    readable: ``: :name::``, ``## [name]``.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _V2_COMMAND.sub(r"\1: :", lines).replace("##[", "## [")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _before(event: Path | None) -> str | None:
    """Return the ``before`` commit of a push event; all zeros mean that the branch is new."""
    if event is None:
        return None
    try:
        before = json.loads(event.read_text(encoding="utf-8"))["before"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("cannot read the pushed commits from %s: %s", event.name, error)
        return None
    return before if isinstance(before, str) and _REVISION.fullmatch(before) else None


def _output(name: str, value: object) -> str:
    """Return one entry of the output file, enclosed in a random delimiter that a value cannot contain.

    Raises
    ------
    ValueError
        If the name is not valid.
    DataError
        If the value contains a character that the file cannot represent.
    """
    if not _OUTPUT_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a valid name of a workflow output: only a-z, 0-9 and - are allowed, starting with a letter"
        )
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    )
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise DataError(
            f"the output {name!r} contains a character that a workflow output cannot contain",
            why="a NUL or a lone surrogate, most likely from a column or file name",
            fix="rename the column or file whose name contains it",
        )
    while (delimiter := secrets.token_hex(16)) in text:
        pass
    return f"{name}<<{delimiter}\n{text}\n{delimiter}\n"


def _append(path: Path, text: bytes) -> None:
    try:
        with path.open("ab") as stream:
            stream.write(text)
    except OSError as error:
        raise DiskError(
            f"cannot write {path.name}",
            where=str(path),
            why=str(error),
            fix="free some disk space, or check the permissions of the folder",
        ) from error


def _escape(text: str, escapes: Mapping[str, str], limit: int) -> str:
    """Escape ``text`` for a workflow command, truncated to ``limit`` characters between escape sequences."""
    escaped = "".join(escapes.get(char, char) for char in text)
    if len(escaped) <= limit:
        return escaped
    return re.sub(r"%.?$", "", escaped[: limit - 1]) + "…"
