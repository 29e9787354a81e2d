"""Make the pictures of a retrain pull request in ``docs/images``: seven weeks of flights through the real commands.

python scripts/make_pictures.py    # about two minutes; the screenshot needs chromium

Run it after a change of the reports of gate, drift or policy, and look at the pictures before you commit them.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import markdown
import pandas as pd

from titlebout.core.process import run
from titlebout.data.tables import read_tables
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.retrain_commit import split_message
from titlebout.scaffold.generate import Request, new

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
NAME = "flights-delay"
FIRST, END = pd.Timestamp("2013-04-01", tz="UTC"), pd.Timestamp("2013-05-20", tz="UTC")
WIDTH, HEIGHT = 830, 1100  # of a pull request on GitHub: nothing may be cut, and this much is one screen
# Sizes as in GitHub's own style sheet.
STYLE = """
body { font: 14px/1.5 -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2328; margin: 16px }
h1 { font-weight: 400; font-size: 26px; margin: 8px 0 } h3 { font-size: 17.5px; margin: 20px 0 12px }
p, ul, table, pre, details { margin: 0 0 14px } ul { padding-left: 28px }
main { border: 1px solid #d1d9e0; border-radius: 6px; padding: 8px 16px }
header { background: #f6f8fa; border-bottom: 1px solid #d1d9e0; margin: -8px -16px 12px; padding: 8px 16px; color: #59636e }
table { border-collapse: collapse } th, td { border: 1px solid #d1d9e0; padding: 5px 11px; text-align: left }
tr:nth-child(2n) { background: #f6f8fa } code, pre { background: #eff1f3; border-radius: 6px; font-size: 12px }
code { padding: 2px 5px } pre { padding: 10px; line-height: 1.7 } pre code { padding: 0 } a { color: #0969da }
"""


def main() -> None:
    """Retrain on seven weeks of flights, and draw the pull request."""
    with tempfile.TemporaryDirectory() as folder:
        project = _generate(Path(folder))
        title, body = _retrain(project)
        for picture in ("gains.svg", "calibration.svg"):
            shutil.copy(project.reports / "evaluate" / picture, IMAGES / picture)
        _screenshot(_page(title, body), IMAGES / "retrain-pull-request.png")


def _generate(folder: Path) -> Project:
    """Generate the example with the flights of seven weeks as its current data, in a git repository."""
    new(Request(NAME, folder), ask=False)
    project, flights = Project.find(folder / NAME), Project.find(ROOT)
    Dvc(flights).pull_data()
    rows = read_tables(flights.root, "data")
    for file in (project.root / "incoming").glob("*.parquet"):
        file.unlink()
    chosen = rows["time_hour"].between(FIRST, END, inclusive="left")
    rows[chosen].to_parquet(project.root / "incoming" / "flights.parquet", index=False)
    run(["git", "add", "--all"], cwd=project.root)
    run(["git", "commit", "--quiet", "--message", "Flights of seven weeks"], cwd=project.root)
    return project


def _retrain(project: Project) -> tuple[str, str]:
    """Run the commands of the scheduled workflow; return the title and the text of the pull request."""
    for command in (["check-data", "--on", "current"], ["drift"], ["decide"]):
        _titlebout(project, *command, "--no-fail")
    decided = json.loads((project.reports / "decide.json").read_text(encoding="utf-8"))
    _titlebout(project, "retrain", "--reason", decided["reason"], "--note", decided["note"])
    return split_message(Git.find(project.root).message(f"retrain/{NAME}"))


def _titlebout(project: Project, *arguments: str) -> None:
    run([sys.executable, "-m", "titlebout", *arguments], cwd=project.root)


def _page(title: str, body: str) -> str:
    """Return an HTML page that looks roughly like a pull request on GitHub."""
    nested = body.replace("<details>", '<details markdown="1">')
    text = markdown.markdown(nested, extensions=["tables", "fenced_code", "md_in_html", "sane_lists"])
    return f"<style>{STYLE}</style><h1>{title}</h1><main><header>titlebout</header>{text}</main>"


def _screenshot(page: str, picture: Path) -> None:
    """Draw a page with chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: chromium is not installed; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(f"<!doctype html><meta charset=utf-8>{page}", encoding="utf-8")
        window = f"--window-size={WIDTH},{HEIGHT}"
        shown = [f"--screenshot={picture}", source.as_uri()]
        run([chromium, "--headless", "--no-sandbox", "--hide-scrollbars", window, *shown])


if __name__ == "__main__":
    main()
