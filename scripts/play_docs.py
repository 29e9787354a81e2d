"""Play a newcomer: run every command of README.md, the tutorial and the how-to pages, and compare what they print.

The reader starts with a clone of the last commit in an empty home folder, with git, make, uv and Python. The pages are
those of the working tree. `scripts/play_docs.toml` has the state in which a page finds its reader, what the reader does
between the commands because the text says so, and what cannot be run here.

A console block with output below one of its commands is a transcript: each command has to print exactly this. A line
`…` stands for any lines, `…` in a line for any text, and a hash for any hash. In other blocks the commands only have to
succeed.
"""

import argparse
import difflib
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import tomlkit
import yaml

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".toml")
ADDRESS = "https://github.com/titlebout/titlebout"
SHELLS = ("console", "sh")
HASH = r"(?<![.\w])([0-9a-f]{7,64})\b"
MARK = "\x1e"
SECONDS = 1800  # of the longest command, on a busy machine
TAIL_LINES = 30
# What a reader's machine has, too: its language, and how it reaches the network.
KEPT = ("LANG", "LC_", "SSL_", "PIP_", "UV_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_CA", "CURL_CA")


@dataclass(frozen=True)
class Step:
    """A command of a page, or a block with other text.

    Attributes
    ----------
    line : int
        Its line in the page, counted from 1.
    language : str
        The language of its block; "text" if it has none.
    text : str
        The command without prompt, or the content of the block.
    shown : str or None
        The output that the page shows for the command; None if it promises none.
    asked : bool
        Whether the next command asks for the exit code.
    """

    line: int
    language: str
    text: str
    shown: str | None = None
    asked: bool = False

    @property
    def content(self) -> str:
        """What the page has of it, in which a key of the table is searched."""
        return f"{self.text}\n{self.shown or ''}"


def steps(page: str) -> Iterator[Step]:
    """Yield the commands and the other blocks of a page, in order."""
    for block in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", page, re.DOTALL | re.MULTILINE):
        line = page.count("\n", 0, block.start(3)) + 1
        text = "".join(part.removeprefix(block[1]) for part in block[3].splitlines(keepends=True))
        if block[2] == "console":
            yield from _commands(line, text)
        elif block[2] == "sh":
            yield from (Step(line + n, "sh", command) for n, command in enumerate(text.splitlines()))
        else:
            yield Step(line, block[2] or "text", text)


def _commands(line: int, text: str) -> Iterator[Step]:
    """Yield the commands of a console block; a command goes on while a quotation mark of it is open."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    split = [_split(part) for part in parts]
    transcript = any(output for _, output in split)
    for n, (command, output) in enumerate(split):
        asked = n + 1 < len(split) and split[n + 1][0] == "echo $?"
        yield Step(line, "console", command, output.rstrip() if transcript else None, asked)
        line += parts[n].count("\n")


def _split(part: str) -> tuple[str, str]:
    lines = part.splitlines(keepends=True)
    for end in range(1, len(lines) + 1):
        try:
            shlex.split("".join(lines[:end]))
        except ValueError:
            continue
        return "".join(lines[:end]).rstrip(), "".join(lines[end:])
    return lines[0].rstrip(), "".join(lines[1:])


def pattern(shown: str) -> re.Pattern[str]:
    """Return what an output has to match to be the one that a page shows."""

    def line(text: str) -> str:
        if text.strip() == "…":
            return r"[\s\S]*?"
        return re.sub(HASH, lambda _: HASH, re.escape(text)).replace("…", ".*")

    return re.compile("".join(map(line, shown.rstrip().splitlines(keepends=True))))


def difference(shown: str, printed: str) -> str:
    """Return an empty text if the output is the one that the page shows, else the difference."""
    if pattern(shown).fullmatch(printed):
        return ""
    lines = difflib.unified_diff(shown.splitlines(), printed.splitlines(), "the page", "this run", lineterm="", n=1)
    return "\n".join(lines)


class Shell:
    """A shell that runs one command after the other, as a reader's terminal does.

    Parameters
    ----------
    folder : Path
        Where it starts.
    environment : Mapping
        All its variables.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command without a terminal; return its exit code and what it printed.

        Raises
        ------
        TimeoutError
            If it takes longer than any command of a page should.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        # The last line restores the exit code, for a command `echo $?`.
        line = f"(exit ${{last:-0}}); eval {shlex.quote(command)} </dev/null; last=$?; printf '{MARK}%s{MARK}' $last\n"
        stdin.write(line.encode())
        printed, end = b"", time.monotonic() + SECONDS
        while printed.count(MARK.encode()) < 2:
            if not select.select([stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(printed.decode(errors="replace"))
            read = os.read(stdout.fileno(), 65536)
            if not read:
                return self._process.wait(), printed.decode(errors="replace")
            printed += read
        output, code, _ = printed.decode(errors="replace").split(MARK)
        return int(code), output.rstrip()

    def close(self) -> None:
        """End the shell and what it has left running in the background."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.communicate()


class Reader:
    """A person who plays one page.

    Parameters
    ----------
    name : str
        Path of the page.
    notes : Mapping
        What the table says about the page.
    shell : Shell
        Their terminal.
    """

    def __init__(self, name: str, notes: Mapping[str, Any], shell: Shell) -> None:
        self.name, self.notes, self.shell = name, notes, shell
        self.states: Counter[str] = Counter()

    def play(self, page: str, start: list[str]) -> None:
        """Bring the reader into the state in which the page finds them, then play all its steps."""
        try:
            self._play(page, start)
        except OSError as error:  # the shell has ended, or a command does not end
            self._say(0, "failed", "the rest of the page was not played", _tail(str(error)))

    def _play(self, page: str, start: list[str]) -> None:
        for command in start:
            self._run(0, command)
        if self.states["failed"]:
            self._say(0, "failed", "the reader is not in the state that the page assumes")
            return
        played = [*steps(page)]
        for n, step in enumerate(played):
            if step.language in SHELLS:
                self._command(step, {later.text for later in played[n + 1 :]})
            else:
                self._block(step)

    def _command(self, step: Step, later: set[str]) -> None:
        content = step.content
        if before := note(self.notes, "before", content, ""):
            self._run(step.line, before)
        if reason := note(self.notes, "not_run", content, ""):
            self._say(step.line, "not run", step.text, reason)
            return
        command = self._filled_in(step.text)
        code, printed = self.shell.run(command)
        refused = step.asked or (step.shown or "").startswith("error: ")
        expected = note(self.notes, "codes", content, code if refused else 0)
        if code != expected:
            self._say(step.line, "failed", step.text, f"exit code {code}, expected {expected}\n{_tail(printed)}")
        elif step.shown is not None and (found := difference(step.shown, printed)):
            self._say(step.line, "differs", step.text, found)
        else:
            self._say(step.line, "ok", step.text, "" if command == step.text else f"as {command}")
        if any(key in content for key in self.notes.get("follow", [])):
            for command in re.findall(r"^    (\S.*)$", printed, re.MULTILINE):
                if command in later:
                    break
                self._run(step.line, command)
        if after := note(self.notes, "after", content, ""):
            self._run(step.line, after)

    def _block(self, step: Step) -> None:
        do = note(self.notes, "blocks", step.text, {"read": "not in the table"})
        first = step.text.strip().partition("\n")[0]
        if "read" in do:
            self._say(step.line, "not run", first, do["read"])
            return
        if "before" in do:
            self._run(step.line, do["before"])
        if "into" in do:
            path = Path(self.shell.run("pwd")[1], do["into"])
            if path.is_file():
                path.write_text(merged(path, step.text), encoding="utf-8")
            self._say(step.line, "ok" if path.is_file() else "failed", first, f"into {path}")
        if "run" in do:
            self._run(step.line, do["run"], step.text)

    def _filled_in(self, command: str) -> str:
        for text, value in self.notes.get("values", {}).items():
            command = command.replace(text, value)
        return command

    def _run(self, line: int, command: str, block: str = "") -> None:
        """Run a command that only has to succeed; $BLOCK is a file with the content of the block."""
        if block:
            command = f"export BLOCK=$(mktemp); printf %s {shlex.quote(block)} >$BLOCK; {command}"
        code, printed = self.shell.run(command)
        first = command.rpartition(">$BLOCK; ")[2]
        self._say(line, "failed" if code else "ok", f"({first})", _tail(printed) if code else "")

    def _say(self, line: int, state: str, text: str, more: str = "") -> None:
        self.states[state] += 1
        text = text.replace("\n", " ")
        print(f"{self.name}:{line}: {state}: {text if len(text) < 100 else text[:99] + '…'}")
        for part in more.splitlines():
            print(f"    {part}")
        sys.stdout.flush()


def note(notes: Mapping[str, Any], kind: str, text: str, otherwise: Any) -> Any:
    """Return what the table says of this kind about a command or a block that contains one of its keys."""
    return next((value for key, value in notes.get(kind, {}).items() if key in text), otherwise)


def merged(path: Path, block: str) -> str:
    """Return a TOML or YAML file with the keys of a block added or replaced."""
    toml = path.suffix == ".toml"
    old = path.read_text("utf-8")
    content: Any = tomlkit.parse(old) if toml else yaml.safe_load(old)
    _update(content, tomllib.loads(block) if toml else yaml.safe_load(block))
    return tomlkit.dumps(content) if toml else yaml.safe_dump(content, sort_keys=False)


def _update(old: Any, new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and key in old:
            _update(old[key], value)
        else:
            old[key] = value


def _tail(printed: str) -> str:
    return "\n".join(printed.splitlines()[-TAIL_LINES:])


def customers() -> str:
    """Return 7,000 invented rows as CSV, one an hour: a customer asked for something, and churned or not."""
    random = Random(0)
    rows = ["customer_id,asked_at,plan,calls,spend,churned"]
    for n in range(7000):
        plan, calls = random.choice(["basic", "plus", "pro"]), min(int(random.expovariate(0.6)), 9)
        spend = round({"basic": 15, "plus": 30, "pro": 45}[plan] * random.uniform(0.8, 1.2), 2)
        churned = random.random() < 0.08 + 0.07 * calls + 0.1 * (plan == "basic")
        asked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_735_689_600 + 3600 * n))
        rows.append(f"{n + 1},{asked},{plan},{calls},{spend},{'yes' if churned else 'no'}")
    return "\n".join(rows) + "\n"


def home(folder: Path) -> dict[str, str]:
    """Make an empty home folder in which git finds this repository under its public address; return its variables."""
    programs, published = folder / "programs", folder / "titlebout.git"
    programs.mkdir()
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, published], check=True)
    here = {str(ROOT / ".venv" / "bin"), str(Path(sys.executable).parent)}
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part not in here)
    for name in ("uv", "uvx"):
        if shutil.which(name, path=path) is None:
            (programs / name).symlink_to(ROOT / ".venv" / "bin" / name)
    house = folder / "home"
    house.mkdir()
    (house / ".gitconfig").write_text(
        f'[user]\n\tname = Newcomer\n\temail = newcomer@example.org\n[url "{published.as_uri()[:-4]}"]\n\tinsteadOf = {ADDRESS}\n',
        encoding="utf-8",
    )
    header, *rows = customers().splitlines(keepends=True)
    (house / "customers.csv").write_text(header + "".join(rows[:6000]), encoding="utf-8")
    (house / "new-customers.csv").write_text(header + "".join(rows[6000:]), encoding="utf-8")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "uv"
    return {
        **{name: value for name, value in os.environ.items() if name.startswith(KEPT)},
        "HOME": str(house),
        "PATH": os.pathsep.join([str(house / ".local" / "bin"), str(programs), path]),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(cache)),  # a download more or less changes no output
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",
    }


def free_port() -> str:
    """Return a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def play(names: list[str], folder: Path) -> Counter[str]:
    """Play the pages with the given paths; return how many steps ended in which state."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    environment = home(folder)
    total: Counter[str] = Counter()
    for name in names:
        place = Path(environment["HOME"], Path(name).stem)
        place.mkdir()
        notes = table["pages"][name]
        shell = Shell(place, {**environment, "PORT": free_port()})
        reader = Reader(name, notes, shell)
        try:
            reader.play((ROOT / name).read_text("utf-8"), start(table["states"], notes["start"]))
        finally:
            shell.close()
        total += reader.states
    return total


def start(states: Mapping[str, Any], name: str) -> list[str]:
    """Return the commands that bring a reader into a state."""
    state = states[name]
    return [*(start(states, state["after"]) if "after" in state else []), *state["run"]]


def main() -> int:
    """Play the pages that the command line names; return the exit code."""
    pages = [*tomllib.loads(TABLE.read_text("utf-8"))["pages"]]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: .venv/bin/python scripts/play_docs.py docs/how-to/roll-back.md",
    )
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="path of a page from the top folder; default: all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="play in this new folder, and keep it")
    arguments = parser.parse_args()
    if unknown := {*arguments.pages} - {*pages}:
        parser.error(f"not in {TABLE.name}: {', '.join(sorted(unknown))}; it has {', '.join(pages)}")
    with tempfile.TemporaryDirectory(prefix="titlebout-newcomer-", ignore_cleanup_errors=True) as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        total = play(arguments.pages or pages, folder.resolve())
    print(", ".join(f"{number} {state}" for state, number in sorted(total.items())))
    return 1 if total["failed"] + total["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
