"""Ten real tables through the whole loop: generate, train, decide, promote, let rows arrive, retrain."""

import re
from pathlib import Path

import pytest

import sample
from sample import Command
from ten_tables import IN_MAKE_TEST, TABLES, Table

ARRIVING = 0.2  # share of the rows that arrive later
VERDICTS = {"promote": 0, "inconclusive": 3, "keep": 11}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_MAKE_TEST else pytest.mark.nightly) for name in TABLES]
)
def test_a_table_goes_through_the_whole_loop(
    name: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TABLES[name]
    rows = table.load()
    tracked, arriving = rows.iloc[: -int(ARRIVING * len(rows))], rows.iloc[-int(ARRIVING * len(rows)) :]
    monkeypatch.chdir(tmp_path)

    root = generate(table, table.write(tracked, tmp_path, "history"), command)
    monkeypatch.chdir(root)
    first_champion(table, command)
    table.write(arriving, root / "incoming", "later")
    sample.commit(root, "Rows arrived")

    checked = command("check-data", "--on", "current")
    assert (checked.code, checked.document["rows"]) == (0, len(arriving)), checked.document["reasons"]
    drifted = command("drift", "--no-fail")
    assert drifted.code == 0, drifted
    attempt = command("retrain", "--reason", "schedule")
    assert attempt.code == VERDICTS[attempt.document["verdict"]], attempt
    arrival = attempt.document["arrival"]
    assert arrival["read"] == len(arriving)
    assert arrival["read"] == sum(arrival[fate] for fate in ("seen", "repeated", "too_late", "set_aside", "new"))
    assert arrival["new"] >= 0.99 * len(arriving), arrival
    assert sample.git(root, "status", "--porcelain") == ""


def generate(table: Table, file: Path, command: Command) -> Path:
    generated = command("new", "project", "--data", str(file), "--target", table.target, "--no-input")
    assert generated.code == 0, generated
    assert any(re.search(table.said, note) for note in generated.document["notes"]), generated.document["notes"]
    root = Path(generated.document["path"])
    sample.commit(root, "Generate")
    return root


def first_champion(table: Table, command: Command) -> None:
    assert command("train").code == 0
    evaluated = command("evaluate")
    assert evaluated.document["verdict"] == table.first, evaluated.document["reasons"]
    if table.first == "promote":
        assert command("promote").code == 0
    sample.commit(Path.cwd(), "First model")
