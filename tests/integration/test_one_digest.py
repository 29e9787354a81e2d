"""One model, one name: every place that names a model has the same digest, and a digest that is not the model's is refused."""

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import sample
import states as four
from sample import Command, CommandResult
from states import CHAMPION, PIPELINE, titlebout
from titlebout.cli.main import run as run_command
from titlebout.core import process
from titlebout.models.artifact import digest_of
from titlebout.models.champion import Promotion, champion_at
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.serving.smoke_test import serve

BRANCH = "retrain/ferries"


@dataclass(frozen=True)
class Loop:
    """A repository whose champion was replaced by a retraining; each of the two models was packaged when it served.

    Attributes
    ----------
    root : Path
        Its main branch has the retrain commit.
    former, packaged : dict
        Results of ``titlebout package``, before and after.
    retrained : dict
        Result of ``titlebout retrain``.
    """

    root: Path
    former: dict[str, Any]
    packaged: dict[str, Any]
    retrained: dict[str, Any]

    @property
    def digest(self) -> str:
        """The champion's, computed from its folder."""
        return digest_of(self.root / PIPELINE / "champion")


@pytest.fixture(scope="module")
def loop(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Read-only."""
    root = sample.copy(calm, tmp_path_factory.mktemp("loop") / sample.NAME)
    former = titlebout(root, "package")
    later = sample.crossings(620, start="2024-04-21", seed=1)
    late = later["late"] | (np.random.default_rng(1).random(len(later)) < 0.6)
    (root / "incoming").mkdir()
    later.assign(late=late.astype(np.int64)).to_parquet(root / "incoming" / "2024-05.parquet", index=False)
    retrained = titlebout(root, "retrain", "--reason", "drift")
    sample.git(root, "merge", "--quiet", "--ff-only", BRANCH)
    return Loop(root, former, titlebout(root, "package"), retrained)


def answered(root: Path, bento: str, home: Path) -> str:
    """Return the model that the service names in an answer."""
    golden = json.loads((root / PIPELINE / "champion" / "golden.json").read_text())["rows"]
    with serve(root / bento, {"BENTOML_HOME": str(home)}) as client:
        document: dict[str, str] = client.post("/predict", json={"rows": golden[:1]}).json()
        return document["model"]


def test_every_place_names_the_model_by_the_same_digest(loop: Loop, tmp_path: Path) -> None:
    root, bento = loop.root, loop.root / loop.packaged["bento"]
    evaluation = json.loads((root / "reports" / "evaluate.json").read_text())
    trained = json.loads((root / "reports" / "train.json").read_text())
    recorded = json.loads((root / PIPELINE / "reports" / "metrics.json").read_text())

    assert {
        "champion.dvc": yaml.safe_load((root / CHAMPION).read_text())["meta"]["digest"],
        "evaluate.json": evaluation["challenger"],
        "retrain.json": loop.retrained["evaluation"]["challenger"],
        "train.json": trained["challenger"],
        "metrics.json": recorded["model"],
        "package.json": loop.packaged["model_digest"],
        "label of the bento": yaml.safe_load((bento / "bento.yaml").read_text())["labels"]["model_digest"],
        "label of the image": re.findall(r'titlebout\.model\.digest="(\w+)"', (bento / "Containerfile").read_text())[0],
        "answer": answered(root, loop.packaged["bento"], tmp_path),
    } == dict.fromkeys(
        [
            "champion.dvc",
            "evaluate.json",
            "retrain.json",
            "train.json",
            "metrics.json",
            "package.json",
            "label of the bento",
            "label of the image",
            "answer",
        ],
        loop.digest,
    )


def test_texts_for_people_have_its_first_twelve_digits_and_no_other_name(loop: Loop) -> None:
    root, short = loop.root, loop.digest[:12]
    doctor = {one["name"]: one["what"] for one in titlebout(root, "doctor")["findings"]}
    texts = {
        "evaluate.md": (root / "reports" / "evaluate.md").read_text(),
        "pull request": loop.retrained["body"],
        "git log": sample.git(root, "log", "-1", "--format=%B"),
        "doctor": doctor["champion"],
        "package.md": (root / "reports" / "package.md").read_text(),
        "bento": (root / loop.packaged["bento"] / "README.md").read_text(),
        "archive": loop.packaged["archive"],
    }
    champion = champion_at(Project.find(root), Git(root), "HEAD")

    assert champion is not None
    assert {name for name, text in texts.items() if short not in text} == set()
    assert {name for name, text in texts.items() if champion.output.short in text} == set()
    assert f"packaged as `ferries:{short}`" in texts["pull request"]
    assert loop.packaged["tag"] == f"ferries:{short}"
    with tarfile.open(root / loop.packaged["archive"]) as archive:
        assert f"version: {short}" in archive.extractfile("bento.yaml").read().decode()


def test_promote_names_the_model_that_it_writes(loop: Loop, tmp_path: Path) -> None:
    root = sample.copy(loop.root, tmp_path / sample.NAME)
    before = (root / CHAMPION).read_bytes()
    titlebout(root, "evaluate", "--base", "HEAD^", "--reason", "drift")

    promoted = titlebout(root, "promote")

    assert promoted["champion"] == loop.digest
    assert loop.digest[:12] in promoted["reasons"][0]
    assert (root / CHAMPION).read_bytes() == before


def test_the_replaced_champion_has_the_name_that_it_was_packaged_under(loop: Loop) -> None:
    log = sample.git(loop.root, "show", "refs/titlebout/log/ferries:attempts.jsonl")
    champion = champion_at(Project.find(loop.root), Git(loop.root), "HEAD")

    assert champion is not None
    assert champion.promotion.champion == loop.former["model_digest"] != loop.digest
    assert json.loads(log)["champion"] == loop.former["model_digest"]
    assert f"champion `{loop.former['model_digest'][:12]}`" in loop.retrained["body"]


def test_git_alone_names_the_image_to_deploy_after_a_roll_back(loop: Loop, tmp_path: Path) -> None:
    root = sample.copy(loop.root, tmp_path / sample.NAME)

    def tag(revision: str) -> str:
        shown = process.run(["git", "show", f"{revision}:{CHAMPION.as_posix()}"], cwd=root).stdout
        return f"ferries:{re.findall(r'(?m)^  digest: (.{12})', shown)[0]}"

    assert tag("main") == loop.packaged["tag"]
    sample.git(root, "revert", "--no-edit", "HEAD")
    assert tag("main") == tag("main~2") == loop.former["tag"]
    assert (root / "build" / f"{tag('main').replace(':', '-')}.bento").is_file()


def record_digest(root: Path, digest: str | None) -> None:
    """Write another digest into the champion file, or remove it."""
    document = yaml.safe_load((root / CHAMPION).read_text())
    document["meta"]["digest"] = digest
    if digest is None:
        del document["meta"]["digest"]
    (root / CHAMPION).write_text(yaml.safe_dump(document, sort_keys=False))


def refused(completed: CommandResult, recorded: str) -> bool:
    error = completed.error
    return (
        completed.code == error["exit_code"] == 7
        and error["what"] == "the model does not have the digest in champion.dvc"
        and recorded in error["why"]
    )


@pytest.mark.parametrize("arguments", [("package",), ("decide",), ("drift",)])
def test_a_champion_with_another_digest_is_not_used(
    arguments: tuple[str, ...], loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    root = sample.copy(loop.root, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    more = sample.crossings(620, start="2024-05-17", seed=2)
    more.to_parquet(root / "incoming" / "2024-06.parquet", index=False)
    for step in (("check-data", "--on", "current"), ("drift",)) if arguments == ("decide",) else ():
        assert run_command([*step, "--no-fail"]) == 0
    record_digest(root, "0" * 64)

    assert refused(command(*arguments), "0" * 64)


def test_a_champion_with_another_digest_is_no_baseline(
    states: dict[str, Path], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.copy(states["better"], tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    sample.git(root, "switch", "--quiet", "main")
    record_digest(root, "0" * 64)
    sample.commit(root, "Another digest")
    sample.git(root, "switch", "--quiet", "other-model")

    assert refused(command("evaluate"), "0" * 64)


def test_a_promotion_request_with_another_digest_is_refused(
    loop: Loop, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.copy(loop.root, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    sample.git(root, "branch", "--force", "base", "HEAD^")
    record_digest(root, "0" * 64)

    assert refused(command("evaluate", "--base", "base"), "0" * 64)
    assert refused(command("evaluate", "--base", "HEAD"), "0" * 64)


def test_a_champion_without_a_recorded_digest_is_used(
    states: dict[str, Path], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.copy(states["better"], tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    sample.git(root, "switch", "--quiet", "main")
    record_digest(root, None)
    sample.commit(root, "As an older version wrote it")
    weak = digest_of(states["promoted"] / PIPELINE / "model")
    sample.git(root, "switch", "--quiet", "other-model")
    sample.git(root, "merge", "--quiet", "--no-edit", "main")
    before = champion_at(Project.find(root), Git(root), "main")
    assert before is not None
    assert before.name == before.output.md5

    assert command("evaluate").document["champion"] == weak
    assert command("promote").code == 0
    after = yaml.safe_load((root / CHAMPION).read_text())["meta"]
    assert (after["digest"], after["champion"]) == (four.digest(root), weak)
    assert before.promotion == Promotion(**{**before.promotion.model_dump(), "digest": ""})
