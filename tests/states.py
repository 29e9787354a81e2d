"""The sample repository in four states: a weak first model, that model as champion, and a better and a worse challenger."""

import json
import shutil
from pathlib import Path

import yaml

import sample
from built import LIBRARY
from titlebout.core import process
from titlebout.models.artifact import digest_of
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.project import Project

NAMES = ("weak", "promoted", "better", "worse")
SOURCES = (Path(__file__), *sample.SOURCES, LIBRARY)
PIPELINE = Path("pipelines") / "ferries"
PARAMS, LOCK, CHAMPION = PIPELINE / "params.yaml", PIPELINE / "dvc.lock", PIPELINE / "champion.dvc"


def titlebout(root: Path, *arguments: str) -> dict[str, object]:
    completed = process.run(["titlebout", *arguments, "--json"], cwd=root)
    document: dict[str, object] = json.loads(completed.stdout)
    return document


def with_regularisation(root: Path, value: str) -> dict[str, object]:
    """Train with another hyperparameter; the smaller, the less the model learns."""
    text = (root / PARAMS).read_text()
    (root / PARAMS).write_text(text[: text.index("    C:")] + f"    C: {value}\n")
    return titlebout(root, "train")


def challenger(root: Path) -> DvcOutput:
    pointer = Dvc(Project.find(root)).challenger_output()
    assert pointer is not None
    return pointer


def digest(root: Path) -> str:
    """Return the digest of the challenger, which has to be here."""
    return digest_of(Project.find(root).model_dir)


def objects(root: Path, store: str = "dvc-remote") -> list[Path]:
    return [path for path in (root / store / "files" / "md5").glob("*/*") if path.is_file()]


def clone(origin: Path, target: Path) -> Path:
    sample.git(target.parent, "clone", "--quiet", str(origin), str(target))
    return target


def fetch_objects(root: Path, source: Path) -> None:
    """Take over everything that another repository's remote has; an object that is here already is read-only."""
    for path in objects(source):
        copied = root / path.relative_to(source)
        if not copied.exists():
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)


def set_champion_by_hand(root: Path, model: DvcOutput) -> None:
    """Write a model into champion.dvc by hand."""
    document = yaml.safe_load((root / CHAMPION).read_text())
    document["meta"]["digest"] = ""
    document["outs"][0] |= {"md5": model.md5, "size": model.size, "nfiles": model.nfiles}
    (root / CHAMPION).write_text(yaml.safe_dump(document))


def build_calm(repository: Path, folder: Path) -> None:
    """Train, evaluate, promote and commit the first champion, as the tutorial does."""
    root = sample.copy(repository, folder / sample.NAME)
    for step in ("train", "evaluate", "promote"):
        titlebout(root, step)
    sample.commit(root, "First champion")


def build(repository: Path, folder: Path) -> None:
    """Build the four states below `folder`, with the output of each training beside them."""

    def state(name: str, before: Path) -> Path:
        return sample.copy(before, folder / name / sample.NAME)

    weak = state("weak", repository)
    completed = with_regularisation(weak, "0.003")
    (folder / "weak" / "train.json").write_text(json.dumps(completed))
    sample.dvc(weak, "push", "--quiet")
    sample.commit(weak, "A first model")

    promoted = state("promoted", weak)
    titlebout(promoted, "evaluate")
    titlebout(promoted, "promote")
    sample.commit(promoted, "First champion")

    for name, value in (("better", "1.0"), ("worse", "0.0001")):
        root = state(name, promoted)
        completed = with_regularisation(root, value)
        (folder / name / "train.json").write_text(json.dumps(completed))
        sample.dvc(root, "push", "--quiet")
        sample.git(root, "switch", "--quiet", "--create", "other-model")
        sample.commit(root, "Another model")
