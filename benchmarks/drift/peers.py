"""Other rules on the same tables: those that live here, and those that need an environment of their own.

Run by ``run.py``; started with a folder it is the part that runs inside a peer's environment, where titlebout is not.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ALPHA = 0.05
# What each peer needs; NannyML does not say that it needs statsmodels.
ENVIRONMENTS = {
    "alibi-detect": ("3.11", ["alibi-detect==0.13.0", "numpy<2", "pandas<3"]),
    "NannyML": ("3.11", ["nannyml==0.13.1", "statsmodels", "numpy<2", "pandas<3"]),
}
Table = dict[str, Any]


def here(tables: list[tuple[Table, Table]]) -> dict[str, list[bool]]:
    """Return the alarms of the rules that run in this environment."""
    drifted = [_evidently(*pair) for pair in tables]
    psi = [_evidently(*pair, num_method="psi", cat_method="psi", threshold=0.2) for pair in tables]
    return {
        "Evidently's default: half of the columns": [share >= 0.5 for share in drifted],
        "Evidently's default per column: any column": [share > 0 for share in drifted],
        "PSI ≥ 0.2 (Evidently's): any column": [share > 0 for share in psi],
        "KS and chi-square, p < 0.05: any column": [_uncorrected(*pair) for pair in tables],
    }


def elsewhere(tables: list[tuple[Table, Table]], folder: Path) -> dict[str, list[bool] | str]:
    """Return the alarms of the peers that need other versions of numpy and pandas, or why there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    sides = {
        f"{position}-{side}-{name}": values
        for position, pair in enumerate(tables)
        for side, table in enumerate(pair)
        for name, values in table.items()
    }
    np.savez(folder / "tables.npz", **sides)
    found: dict[str, list[bool] | str] = {}
    for name, (python, packages) in ENVIRONMENTS.items():
        try:
            found |= _ask(name, python, packages, folder)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            message = getattr(error, "stderr", "") or str(error)
            print(f"{name} was not run: {message}", file=sys.stderr)
            found[name] = "not run"
    return found


def _ask(name: str, python: str, packages: list[str], folder: Path) -> dict[str, list[bool]]:
    environment = folder / name
    if not (environment / "done").is_file():
        subprocess.run(
            ["uv", "venv", "--clear", "--python", python, str(environment)], check=True, capture_output=True, text=True
        )
        interpreter = ["--python", str(environment / "bin" / "python")]
        subprocess.run(["uv", "pip", "install", *interpreter, *packages], check=True, capture_output=True, text=True)
        (environment / "done").touch()
    command = [str(environment / "bin" / "python"), __file__, name, str(folder / "tables.npz")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def is_level(name: str) -> bool:
    """Say whether a column of the world holds codes of levels."""
    return name == "label" or "level" in name or "yes_no" in name


def as_frame(table: Table) -> pd.DataFrame:
    """Return a table with its levels as words."""
    words = np.array([*(f"level {code}" for code in range(301)), None], dtype=object)
    return pd.DataFrame(
        {
            name: words[np.where(np.isnan(values), -1, values).astype(int)] if is_level(name) else values
            for name, values in table.items()
        }
    )


def _evidently(old: Table, new: Table, **method: Any) -> float:
    """Return the share of drifted columns that Evidently counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount

        levels = [name for name in old if is_level(name)]
        definition = DataDefinition(
            numerical_columns=[name for name in old if name not in levels], categorical_columns=levels
        )
        sides = [Dataset.from_pandas(as_frame(table), data_definition=definition) for table in (new, old)]
        return float(Report([DriftedColumnsCount(**method)]).run(*sides).dict()["metrics"][0]["value"]["share"])


def _uncorrected(old: Table, new: Table) -> bool:
    from scipy.stats import chi2_contingency, ks_2samp

    def p(name: str) -> float:
        past, now = (table[name][~np.isnan(table[name])] for table in (old, new))
        if not is_level(name):
            return float(ks_2samp(past, now, method="asymp").pvalue)
        counts = np.array([np.bincount(side.astype(int), minlength=301) for side in (past, now)])
        return float(chi2_contingency(counts[:, counts.any(axis=0)]).pvalue)

    return any(p(name) < ALPHA for name in old)


def _alibi(tables: list[tuple[Table, Table]]) -> dict[str, list[bool]]:
    from alibi_detect.cd import TabularDrift

    found: dict[str, list[bool]] = {}
    for correction in ("bonferroni", "fdr"):
        alarms = []
        for pair in tables:
            old, new = (
                np.column_stack([np.nan_to_num(values, nan=-9.0) for values in table.values()]) for table in pair
            )
            levels = {position: None for position, name in enumerate(pair[0]) if is_level(name)}
            detector = TabularDrift(old, p_val=ALPHA, categories_per_feature=levels, correction=correction)
            alarms.append(bool(detector.predict(new)["data"]["is_drift"]))
        found[f"alibi-detect TabularDrift, {correction}"] = alarms
    return found


def _nannyml(tables: list[tuple[Table, Table]]) -> dict[str, list[bool]]:
    import nannyml

    alarms = []
    for pair in tables:
        old, new = map(as_frame, pair)
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=list(old.columns),
            treat_as_categorical=[name for name in old.columns if is_level(name)],
            continuous_methods=["jensen_shannon"],
            categorical_methods=["jensen_shannon"],
            chunk_size=len(new),
        ).fit(old)
        found = calculator.calculate(new).filter(period="analysis").to_df()
        alarms.append(bool(found.xs("alert", axis=1, level=2).to_numpy().any()))
    return {"NannyML univariate Jensen-Shannon: any column": alarms}


def main() -> None:
    """Answer for one peer, inside its environment."""
    name, path = sys.argv[1:]
    stored = np.load(path)
    tables: dict[int, tuple[Table, Table]] = {}
    for key in stored.files:
        position, side, column = key.split("-", 2)
        tables.setdefault(int(position), ({}, {}))[int(side)][column] = stored[key]
    ask = {"alibi-detect": _alibi, "NannyML": _nannyml}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps(ask([tables[position] for position in sorted(tables)])))


if __name__ == "__main__":
    main()
