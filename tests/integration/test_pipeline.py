"""The pipeline and the gate with real DVC and git: what runs, what is fetched, who wins, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import sample
from sample import Said
from titlebout import process
from titlebout.__main__ import run
from titlebout.pointers import Pointer, folder_digest
from titlebout.project import Project
from titlebout.tracking import Dvc

pytestmark = pytest.mark.xdist_group("pipeline")  # the repositories below are built once

PIPELINE = Path("pipelines") / "ferries"
PARAMS, LOCK, CHAMPION = PIPELINE / "params.yaml", PIPELINE / "dvc.lock", PIPELINE / "champion.dvc"
Command = Callable[..., Said]


def titlebout(root: Path, *arguments: str) -> dict[str, object]:
    completed = process.run(["titlebout", *arguments, "--json"], cwd=root)
    document: dict[str, object] = json.loads(completed.stdout)
    return document


def with_regularisation(root: Path, value: str) -> dict[str, object]:
    """Train with another hyperparameter; the smaller, the less the model learns."""
    text = (root / PARAMS).read_text()
    (root / PARAMS).write_text(text[: text.index("    C:")] + f"    C: {value}\n")
    return titlebout(root, "train")


def challenger(root: Path) -> Pointer:
    pointer = Dvc(Project.find(root)).challenger_pointer()
    assert pointer is not None
    return pointer


def objects(root: Path, store: str = "dvc-remote") -> list[Path]:
    return [path for path in (root / store / "files" / "md5").glob("*/*") if path.is_file()]


def clone(origin: Path, target: Path) -> Path:
    sample.git(target.parent, "clone", "--quiet", str(origin), str(target))
    return target


def fetch_objects(root: Path, source: Path) -> None:
    """Take over everything that another repository's remote has."""
    shutil.copytree(source / "dvc-remote", root / "dvc-remote", dirs_exist_ok=True)


def give_title(root: Path, model: Pointer) -> None:
    """Write a model into champion.dvc by hand."""
    document = yaml.safe_load((root / CHAMPION).read_text())
    document["outs"][0] |= {"md5": model.md5, "size": model.size, "nfiles": model.nfiles}
    (root / CHAMPION).write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def states(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Repositories in four states, and what the training of each said; not to be changed."""
    folder = tmp_path_factory.mktemp("states")
    found: dict[str, Path] = {}

    def state(name: str, before: Path) -> Path:
        found[name] = sample.copy(before, folder / name / sample.NAME)
        return found[name]

    weak = state("weak", repository)
    said = with_regularisation(weak, "0.003")
    (folder / "weak" / "train.json").write_text(json.dumps(said))
    sample.dvc(weak, "push", "--quiet")
    sample.commit(weak, "A first model")

    crowned = state("crowned", weak)
    titlebout(crowned, "evaluate")
    titlebout(crowned, "promote")
    sample.commit(crowned, "First champion")

    for name, value in (("better", "1.0"), ("worse", "0.0001")):
        root = state(name, crowned)
        said = with_regularisation(root, value)
        (folder / name / "train.json").write_text(json.dumps(said))
        sample.dvc(root, "push", "--quiet")
        sample.git(root, "switch", "--quiet", "--create", "other-model")
        sample.commit(root, "Another model")
    return found


@pytest.fixture
def at(states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Copy one of the states and go there."""

    def go(name: str) -> Path:
        root = sample.copy(states[name], tmp_path / sample.NAME)
        monkeypatch.chdir(root)
        return root

    return go


@pytest.fixture
def cloned(states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Clone one of the states, without any of its caches, and go there."""

    def go(name: str) -> Path:
        root = clone(states[name], tmp_path / sample.NAME)
        monkeypatch.chdir(root)
        return root

    return go


def said_while_training(states: dict[str, Path], name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((states[name].parent / "train.json").read_text())
    return document


# --- what runs


def test_the_first_training_runs_every_stage_and_says_what_came_out(states: dict[str, Path]) -> None:
    said = said_while_training(states, "weak")

    assert said["ran"] == ["check-data", "prepare", "train", "evaluate"]
    assert (said["passed"], said["changed"]) == (True, True)
    assert said["challenger"] == challenger(states["weak"]).md5
    assert set(said["metrics"]) == {"log_loss", "accuracy", "roc_auc"}  # type: ignore[call-overload]


def test_a_second_training_runs_nothing(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    said = command("train")

    assert (said.code, said.document["changed"], said.document["ran"]) == (0, False, [])
    assert said.document["skipped"] == ["check-data", "prepare", "train", "evaluate"]
    assert sample.git(root, "status", "--porcelain") == ""


def test_a_hyperparameter_reruns_the_training_only(states: dict[str, Path]) -> None:
    said = said_while_training(states, "better")

    assert said["ran"] == ["train", "evaluate"]
    assert said["skipped"] == ["check-data", "prepare"]


def test_the_same_training_elsewhere_gives_the_same_model(at: Callable[[str], Path]) -> None:
    root = at("weak")
    expected = challenger(root).md5
    sample.edit(root / "titlebout.toml", "min_rows = 100", "min_rows = 101")  # policy changes no model
    for name in ("prepare", "train", "evaluate"):
        assert run(["stage", name, "--pipeline", "ferries"]) == 0

    assert folder_digest(root / PIPELINE / "model") == expected
    assert sample.git(root, "diff", "--name-only") == "titlebout.toml"


def test_a_fresh_clone_trains_nothing_and_downloads_nothing(cloned: Callable[[str], Path], command: Command) -> None:
    root = cloned("weak")
    said = command("train")

    assert (said.code, said.document["changed"], said.document["ran"]) == (0, False, [])
    assert said.document["challenger"] == challenger(root).md5
    assert not (root / "data").exists()
    assert not (root / PIPELINE / "model").exists()
    assert objects(root, ".dvc/cache") == []


def test_new_data_reruns_everything_even_in_a_clone_that_has_none_of_it(
    states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """For a dependency on a part of what data.dvc names, DVC would say that nothing changed."""
    source = sample.copy(states["weak"], tmp_path / "source")
    sample.crossings(100, start="2024-04-20", seed=5).to_parquet(source / "data" / "2024-04.parquet", index=False)
    sample.dvc(source, "add", "--quiet", "data")
    sample.dvc(source, "push", "--quiet")
    sample.commit(source, "More data")
    root = clone(source, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    said = command("train")

    assert said.document["ran"] == ["check-data", "prepare", "train", "evaluate"]
    assert len(list((root / "data").iterdir())) == 2
    assert json.loads((root / PIPELINE / "reports" / "split.json").read_text())["train_rows"] == 532


# --- what is refused before or while it runs


def test_a_part_of_the_data_is_refused(at: Callable[[str], Path], command: Command) -> None:
    """DVC would take the part for the whole and train on it."""
    root = at("weak")
    sample.crossings(10, start="2025-01-01").to_parquet(root / "data" / "2025-01.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    (root / "data" / "2024-03.parquet").unlink()
    lock = (root / LOCK).read_text()
    said = command("train")

    assert said.code == 2
    assert said.error["what"] == "data/ is not what data.dvc says"
    assert "dvc checkout data.dvc" in said.error["fix"]
    assert (root / LOCK).read_text() == lock


@pytest.mark.parametrize("arguments", [["check-data"], ["evaluate"]])
def test_a_file_that_was_never_recorded_is_not_deleted(
    arguments: list[str], at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    new = root / "data" / "2024-04.csv"
    sample.crossings(10, start="2024-05-01").to_csv(new, index=False)
    content = new.read_bytes()
    said = command(*arguments)

    assert said.code == 2
    assert "never recorded" in said.error["what"]
    assert "dvc add data" in said.error["fix"]
    assert new.read_bytes() == content


def test_data_that_fails_its_checks_ends_the_training_as_an_answer(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    lock = (root / LOCK).read_text()
    frame = sample.crossings(20, start="2024-05-01").assign(wind=float("nan"))
    frame.to_parquet(root / "data" / "2024-05.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    said = command("train")

    assert said.code == 10
    assert (said.document["passed"], said.document["changed"], said.document["ran"]) == (False, False, ["check-data"])
    assert "wind" in said.document["reasons"][0]
    assert (root / LOCK).read_text() == lock


@pytest.mark.parametrize(
    ("code", "exit_code", "told"),
    [
        ("raise KeyError('harbor')", 2, "ferries.model:build_model failed: KeyError: 'harbor'"),
        ("import os; os.kill(os.getpid(), 9)", 1, "stage train was ended by signal 9"),
        ("import os; os._exit(128 + 9)", 1, "stage train was ended by signal 9"),  # as some shells tell it
        ("import os; os._exit(9)", 1, "stage train ended with exit code 9"),
    ],
)
def test_a_failing_stage_is_told_in_its_own_words(
    code: str, exit_code: int, told: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    before = folder_digest(root / PIPELINE / "model")
    sample.edit(root / "src" / "ferries" / "model.py", "    numbers =", f"    {code}\n    numbers =")
    said = command("train")

    assert said.code == exit_code
    assert said.error["what"] == told
    assert said.error["fix"]
    assert list((root / PIPELINE).glob(".model*")) == []
    assert not (root / PIPELINE / "model").exists() or folder_digest(root / PIPELINE / "model") == before


@pytest.mark.parametrize("name", [LOCK, CHAMPION])
def test_a_merge_conflict_is_told_before_anything_runs(name: Path, at: Callable[[str], Path], command: Command) -> None:
    root = at("crowned")
    text = (root / name).read_text()
    (root / name).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")

    for arguments in (["train"], ["evaluate"])[name == CHAMPION :]:
        said = command(*arguments)
        assert said.code == 6
        assert said.error["what"] == "a merge conflict was not resolved"
        assert said.error["where"] == str(root / name)


@pytest.mark.parametrize("lost", ["challenger", "champion", "data"])
def test_an_object_that_the_remote_lost_is_not_found(
    lost: str, cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    pointer = {
        "challenger": challenger(root),
        "champion": challenger(states["crowned"]),
        "data": Dvc(Project.find(root)).data_pointer(),
    }[lost]
    listing = root / "dvc-remote" / "files" / "md5" / pointer.md5[:2] / pointer.md5[2:]
    child = json.loads(listing.read_text())[0]["md5"]
    (root / "dvc-remote" / "files" / "md5" / child[:2] / child[2:]).unlink()
    said = command("evaluate", "--base", "origin/HEAD~1")

    assert said.code == 5
    assert "dvc push" in said.error["fix"]
    assert not (root / "reports" / "evaluate.json").exists()


def test_an_object_that_the_remote_altered_is_never_used(
    cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    model = json.loads(
        (root / "dvc-remote" / "files" / "md5" / (md5 := challenger(root).md5)[:2] / md5[2:]).read_text()
    )
    weights = next(entry["md5"] for entry in model if entry["relpath"] == "model.skops")
    path = root / "dvc-remote" / "files" / "md5" / weights[:2] / weights[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    said = command("evaluate", "--base", "origin/HEAD~1")

    assert said.code == 5
    assert not (root / "reports" / "evaluate.json").exists()


# --- the gate


def test_the_first_model_that_knows_something_takes_the_title(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    said = command("evaluate")

    assert (said.code, said.document["verdict"], said.document["reason"]) == (0, "promote", "first")
    assert said.document["challenger_score"] < said.document["dummy_score"]
    assert said.document["holdout"]["rows"] == 168
    assert json.loads((root / "reports" / "evaluate.json").read_text()) == said.document
    assert "### Gate: promote" in (root / "reports" / "evaluate.md").read_text()

    promoted = command("promote")
    assert promoted.code == 0
    assert promoted.document["champion"] == challenger(root).md5
    assert sample.git(root, "status", "--porcelain", str(CHAMPION)).startswith("??")
    requested = command("evaluate")
    assert (requested.code, requested.document["promotion_requested"]) == (0, True)


def test_the_champion_itself_has_nothing_to_prove(at: Callable[[str], Path], command: Command) -> None:
    at("crowned")
    said = command("evaluate")

    assert (said.code, said.document["verdict"], said.document["promotion_requested"]) == (0, "unchanged", False)


def test_a_better_challenger_takes_the_title(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("better")
    said = command("evaluate")

    assert (said.code, said.document["verdict"], said.document["reason"]) == (0, "promote", "change")
    assert said.document["champion"] == challenger(states["crowned"]).md5
    assert said.document["gain_lower"] > 0
    assert not said.document["promotion_requested"]
    assert command("promote").code == 0
    assert command("evaluate", "--only-promotions").document["promotion_requested"]
    assert sample.git(root, "diff", "--name-only") == str(CHAMPION)


def test_a_former_champion_may_take_the_title_back(
    at: Callable[[str], Path], command: Command, states: dict[str, Path]
) -> None:
    """To roll back, revert the commit: the old champion could not win against the new one on these rows."""
    root = at("better")
    assert command("evaluate").document["verdict"] == "promote"
    assert command("promote").code == 0
    sample.commit(root, "Promotion")
    sample.git(root, "switch", "--quiet", "main")
    sample.git(root, "merge", "--quiet", "--ff-only", "other-model")
    assert command("evaluate").document["verdict"] == "unchanged"
    sample.git(root, "switch", "--quiet", "--create", "roll-back")
    sample.git(root, "revert", "--no-edit", "HEAD", "HEAD~1")
    said = command("evaluate", "--only-promotions")

    assert (said.code, said.document["verdict"], said.document["reason"]) == (0, "promote", "rollback")
    assert said.document["challenger"] == challenger(states["crowned"]).md5
    assert said.document["champion"] == challenger(states["better"]).md5


def test_a_fresh_clone_fetches_what_the_bout_needs(
    cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    said = command("evaluate", "--base", "origin/HEAD~1")

    assert (said.code, said.document["verdict"]) == (0, "promote")
    assert said.document["champion"] == challenger(states["crowned"]).md5
    assert folder_digest(root / "data") == Dvc(Project.find(root)).data_pointer().md5
    assert sample.git(root, "status", "--porcelain") == ""


def test_a_worse_challenger_does_not(at: Callable[[str], Path], command: Command) -> None:
    root = at("worse")
    said = command("evaluate")

    assert (said.code, said.document["verdict"], said.document["passed"]) == (11, "keep", False)
    assert said.document["challenger_score"] > said.document["champion_score"]
    assert command("evaluate", "--no-fail").code == 0
    assert command("evaluate", "--only-promotions").code == 0

    before = (root / CHAMPION).read_bytes()
    refused = command("promote")
    assert (refused.code, refused.error["what"]) == (7, "the gate did not say promote")
    assert (root / CHAMPION).read_bytes() == before


def test_a_promotion_that_was_not_won_is_refused(at: Callable[[str], Path], command: Command) -> None:
    """Somebody writes the challenger into champion.dvc by hand."""
    root = at("worse")
    give_title(root, challenger(root))
    said = command("evaluate", "--only-promotions")

    assert (said.code, said.document["verdict"], said.document["promotion_requested"]) == (11, "keep", True)


@pytest.mark.parametrize("change", ["another model", "no model"])
def test_a_title_for_anything_but_the_challenger_is_refused(
    change: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    if change == "no model":
        (root / CHAMPION).unlink()
    else:
        give_title(root, Pointer(f"{'0' * 32}.dir", 1, 4))
    said = command("evaluate", "--only-promotions")

    assert said.code == 7
    assert said.error["what"] == "champion.dvc asks to promote a model that dvc.lock did not train"


def test_a_branch_that_is_behind_asks_for_no_promotion(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    """Meanwhile another model took the title on main: that this branch still has the old champion is no request."""
    root = at("worse")
    sample.git(root, "switch", "--quiet", "main")
    give_title(root, challenger(states["better"]))
    sample.commit(root, "Another champion")
    sample.git(root, "switch", "--quiet", "other-model")
    behind = command("evaluate")
    assert (behind.code, behind.error["what"]) == (5, "the champion's model cannot be fetched")
    assert "bring the branch up to date" in behind.error["fix"]  # the objects are in main's dvc-remote

    fetch_objects(root, states["better"])
    said = command("evaluate", "--only-promotions")

    assert (said.code, said.document["verdict"], said.document["promotion_requested"]) == (0, "keep", False)
    assert said.document["champion"] == challenger(states["better"]).md5


def test_a_verdict_about_an_earlier_model_promotes_nothing(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("better")
    assert command("evaluate").document["verdict"] == "promote"
    fetch_objects(root, states["worse"])
    for name in (LOCK, PARAMS):
        (root / name).write_bytes((states["worse"] / name).read_bytes())
    said = command("promote")

    assert (said.code, said.error["what"]) == (7, "the verdict is about another model")
    assert str(CHAMPION) not in sample.git(root, "diff", "--name-only")


def test_a_champion_that_saw_the_holdout_is_not_compared(at: Callable[[str], Path], command: Command) -> None:
    root = at("crowned")
    sample.edit(root / PARAMS, "holdout_days: 14", "holdout_days: 20")
    trained = command("train")
    assert trained.document["ran"] == ["prepare", "train", "evaluate"]
    said = command("evaluate")

    assert said.code == 7
    assert said.error["what"] == "the champion was trained on 72 of the 240 holdout rows"


def test_too_few_rows_decide_nothing(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    sample.edit(root / "titlebout.toml", "min_rows = 100", "min_rows = 169")
    said = command("evaluate")

    assert (said.code, said.document["verdict"]) == (3, "inconclusive")
    assert "168 holdout rows are too few" in said.document["reasons"][0]
    assert command("promote").code == 7
