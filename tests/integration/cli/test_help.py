"""Help loads hardly more than the parser, in a process of its own."""

import json
import sys

import pytest

from titlebout.core import process

# What a `.pth` file or a wrapper of the environment may load before any of our code.
FROM_THE_START = "import json, sys; before = set(sys.modules)"
SHOW = "print(); print(json.dumps(sorted(set(sys.modules) - before)))"
MODULES_BESIDE_CLICK = 60  # 33 with Python 3.11; pandas alone has more than 300


def loaded(script: str) -> set[str]:
    """Return the modules that a script loads in a new interpreter."""
    output = process.run([sys.executable, "-c", f"{FROM_THE_START}\n{script}\n{SHOW}"]).stdout
    return set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["trian"]])
def test_help_loads_nothing_but_click(arguments: list[str]) -> None:
    found = loaded(f"from titlebout.cli.main import run\nrun({arguments!r})")

    assert {name.partition(".")[0] for name in found} - sys.stdlib_module_names == {"click", "titlebout"}
    assert len(found - loaded("import click")) <= MODULES_BESIDE_CLICK
