"""scripts/play_docs.py says of every command of a page what became of it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from play_docs import Reader, Shell

PAGE = """\
```console
$ mkdir new && cd new
$ echo $PLACE
```

```console
$ cat settings.toml
x = 2
$ printf 'one\\ntwo\\n'
…
two
$ false
$ echo $?
1
$ ls gone
error: …
```
"""
SETTINGS = "```toml\nx = 2\n```\n"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, {"PATH": os.environ["PATH"], "LC_ALL": "C"})
    yield shell
    shell.close()


def played(shell: Shell, page: str, notes: Mapping[str, Any], start: str = "true") -> dict[str, int]:
    reader = Reader("page.md", notes, shell)
    reader.play(page, [start])
    return dict(reader.states)


def test_commands_share_a_folder_and_the_last_exit_code(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = {
        "after": {"mkdir": "echo x = 1 >settings.toml"},
        "values": {"$PLACE": "somewhere", "ls gone": "echo error: gone; (exit 2)"},
        "blocks": {"x = 2": {"into": "settings.toml"}},
    }
    pages = PAGE.partition("```console\n$ cat")
    page = pages[0] + SETTINGS + "\n" + pages[1] + pages[2]

    assert played(shell, page, notes) == {"ok": 10}
    assert (tmp_path / "new" / "settings.toml").read_text() == "x = 2\n"
    assert "page.md:11: ok: cat settings.toml" in capsys.readouterr().out


def test_faults_of_a_page_are_shown_and_the_rest_is_played(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    page = "```console\n$ echo 1\n2\n$ (exit 3)\n$ gh api\n```\n" + SETTINGS
    states = played(shell, page, {"not_run": {"gh api": "GitHub itself"}})
    out = capsys.readouterr().out

    assert states == {"ok": 1, "differs": 1, "failed": 1, "not run": 2}
    assert "page.md:2: differs: echo 1\n" in out
    assert "    -2\n    +1\n" in out
    assert "exit code 3, expected 0" in out
    assert "not run: gh api\n    GitHub itself\n" in out


def test_a_page_is_not_played_without_its_state(shell: Shell) -> None:
    assert played(shell, "```console\n$ true\n```\n", {}, start="false") == {"failed": 2}


def test_a_page_that_ends_the_shell_is_a_fault(shell: Shell) -> None:
    page = "```console\n$ exit 3\n$ true\n$ true\n```\n"

    assert played(shell, page, {}) == {"ok": 1, "failed": 2}


def test_what_a_command_says_next_is_done(shell: Shell, tmp_path: Path) -> None:
    page = "```console\n$ printf 'Next:\\n\\n    touch one\\n    touch two\\n    touch three\\n'\n$ touch two\n```\n"

    assert played(shell, page, {"follow": ["printf"]}) == {"ok": 4}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_programs_in_the_background_end_with_the_page(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"PATH": os.environ["PATH"]})
    shell.run("""bash -c 'trap "touch ended; exit" TERM; touch ready; sleep 1000 & wait' &""")
    shell.run("until test -e ready; do sleep 0.01; done")
    shell.close()

    assert (tmp_path / "ended").exists()
