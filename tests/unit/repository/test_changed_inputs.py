"""What differs from the last training is found without DVC, and only bytecode of the code does not count."""

from pathlib import Path

import yaml

from titlebout.repository.dvc_files import changed_inputs, folder_digest


def lock(root: Path) -> str:
    code, data = root / "src" / "my_data", root / "data"
    deps = [{"path": f"../../{one.relative_to(root)}", "md5": folder_digest(one)} for one in (code, data)]
    return yaml.safe_dump({"stages": {"train": {"deps": deps, "params": {"params.yaml": {"train": {"seed": 0}}}}}})


def repository(root: Path) -> Path:
    """Files of a pipeline, below a folder with the name that bytecode has."""
    for name in ("src/my_data/model.py", "data/a.csv", "pipelines/p/params.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("train: {seed: 0}\n", encoding="utf-8")
    return root / "pipelines" / "p"


def test_code_data_and_parameters_that_differ_are_named(tmp_path: Path) -> None:
    root = tmp_path / "__pycache__"
    pipeline = repository(root)
    text = lock(root)

    assert changed_inputs(text, pipeline, {}) == ()
    (root / "src/my_data/model.py").write_text("changed", encoding="utf-8")
    (pipeline / "params.yaml").write_text("train: {seed: 1}\n", encoding="utf-8")
    assert changed_inputs(text, pipeline, {}) == ("../../src/my_data", "params.yaml: train")
    assert changed_inputs(text, pipeline, {(root / "data").resolve(): "another.dir"})[1] == "../../data"


def test_bytecode_does_not_count_in_code_and_does_in_data_and_models(tmp_path: Path) -> None:
    pipeline = repository(tmp_path)
    text, before = lock(tmp_path), folder_digest(tmp_path / "data")
    for folder in ("src/my_data", "data"):
        (tmp_path / folder / "__pycache__").mkdir()
        (tmp_path / folder / "__pycache__" / "x.pyc").write_bytes(b"x")

    known = {(tmp_path / "data").resolve(): before}
    assert changed_inputs(text, pipeline, known) == ()
    assert folder_digest(tmp_path / "data") != before
