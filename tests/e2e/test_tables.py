"""Ten real tables through the whole loop: generate, train, decide, promote, let rows arrive, retrain."""

import re
from pathlib import Path

import pytest

import sample
from sample import Command
from ten_tables import IN_MAKE_TEST, TABLES, Table

ARRIVING = 0.2  # share of the rows that arrive later
FEW = 500  # rows that `retrain` waits for by default
FATES = ("seen", "repeated", "too_late", "set_aside", "new")


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
    if len(arriving) < FEW:
        allow_few_rows(root)
    if not first_champion(table, command):
        return
    table.write(arriving, root / "incoming", "later")
    sample.commit(root, "Rows arrived")

    checked = command("check-data", "--on", "current")
    assert (checked.code, checked.document["rows"]) == (10 if table.refused else 0, len(arriving)), checked
    if table.refused:
        assert table.refused in checked.document["reasons"][0]
        assert command("decide", "--no-fail").document["action"] == "stop"
        return
    assert command("drift", "--no-fail").code == 0
    attempt = command("retrain", "--reason", "schedule")
    assert attempt.code == {"promote": 0, "keep": 11, "inconclusive": 3}[attempt.document["verdict"]], attempt
    arrival = attempt.document["arrival"]
    assert arrival["read"] == len(arriving) == sum(arrival[fate] for fate in FATES)
    assert arrival["new"] >= len(arriving) - max(1, 0.01 * len(arriving)), arrival
    assert sample.git(root, "status", "--porcelain") == ""


def generate(table: Table, file: Path, command: Command) -> Path:
    generated = command("new", "project", "--data", str(file), "--target", table.target, "--no-input")
    assert generated.code == 0, generated
    assert any(re.search(table.note, text) for text in generated.document["notes"]), generated.document["notes"]
    root = Path(generated.document["path"])
    sample.commit(root, "Generate")
    return root


def allow_few_rows(root: Path) -> None:
    """Lower the minimum of a retraining, as its error advises."""
    settings = root / "titlebout.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(re.sub(r"min_new_rows = \d+", "min_new_rows = 20", text), encoding="utf-8")
    sample.commit(root, "Retrain on few rows")


def first_champion(table: Table, command: Command) -> bool:
    """Train the first model, and promote it if it is ahead of the dummy model; return whether there is a champion."""
    assert command("train").code == 0
    evaluated = command("evaluate")
    assert evaluated.document["verdict"] == table.first, evaluated.document["reasons"]
    over = evaluated.document["over_dummy"]
    if over is None or over["gain"] <= 0:
        assert any("min_rows" in reason for reason in evaluated.document["reasons"]), evaluated.document["reasons"]
        return False
    assert command("promote", *([] if table.first == "promote" else ["--unproven"])).code == 0
    sample.commit(Path.cwd(), "First champion")
    return True
