"""DVC's configuration of a project, shared with another folder, against what DVC makes of both."""

from pathlib import Path

import pytest

import sample
from titlebout.core.errors import ConfigError
from titlebout.repository.dvc_config import cache_folder, default_remote, in_tree_remotes, share_storage

AWKWARD = ["a b", "#1", "100%", "it's", '"q"', "$HOME", "a,b", "é", "é", "-x", "~", "[core]", "a=b", "模型"]
REMOTE = "[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../../store\n"


def configured(root: Path, local: str = "", name: str = "config.local") -> Path:
    """Write the sample's configuration of DVC, and one of this clone only."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text(sample.FILES[".dvc/config"], encoding="utf-8")
    (root / ".dvc" / name).write_text(local, encoding="utf-8")
    return root


def test_this_clone_has_the_last_word(tmp_path: Path) -> None:
    plain = configured(tmp_path / "plain")
    own = configured(tmp_path / "own", REMOTE + "[cache]\n    dir = ../../cache\n")

    assert default_remote(plain) == str(plain / "dvc-remote")
    assert cache_folder(plain) == plain / ".dvc" / "cache"
    assert (default_remote(own), cache_folder(own)) == (str(tmp_path / "store"), tmp_path / "cache")


def test_settings_of_the_user_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config").write_text("[cache]\n    dir = /large/cache\n", encoding="utf-8")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))

    assert cache_folder(configured(tmp_path / "own")) == Path("/large/cache")


@pytest.mark.parametrize("name", AWKWARD)
def test_another_folder_gets_the_same_cache_and_remotes(name: str, tmp_path: Path) -> None:
    root = configured(tmp_path / name / "project", REMOTE + "[cache]\n    type = hardlink,symlink\n")
    other = configured(tmp_path / "other" / name)

    share_storage(root, other)

    assert default_remote(other) == default_remote(root) == str(tmp_path / name / "store")
    assert cache_folder(other) == cache_folder(root) == root / ".dvc" / "cache"
    assert "type = hardlink, symlink, copy" in (other / ".dvc" / "config.local").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["plain", "#1, 'é' 100% \"q\" $x"])
def test_dvc_itself_reads_what_was_shared(name: str, tmp_path: Path) -> None:
    root = configured(tmp_path / name / "project", REMOTE)
    other = configured(tmp_path / "other")
    sample.git(other, "init", "--quiet")

    share_storage(root, other)

    assert sample.dvc(other, "cache", "dir") == str(root / ".dvc" / "cache")
    assert str(tmp_path / name / "store") in sample.dvc(other, "remote", "list")


def test_a_remote_in_the_tree_becomes_the_one_of_the_copy(tmp_path: Path) -> None:
    top, copy = tmp_path / "top", tmp_path / "copy"
    shared = "['remote \"shared\"']\n    url = ../../../objects\n['remote \"far\"']\n    url = s3://bucket/path\n"
    root = configured(top / "teams" / "ml", REMOTE.replace("../../store", "../../../../outside") + shared)
    other = configured(copy / "teams" / "ml")

    assert in_tree_remotes(root, top) == (root / "dvc-remote", top / "objects")
    share_storage(root, other, copied=top)

    assert in_tree_remotes(other, copy) == (other / "dvc-remote", copy / "objects")
    assert default_remote(other) == default_remote(root) == str(tmp_path / "outside")
    assert "s3://bucket/path" in (other / ".dvc" / "config.local").read_text(encoding="utf-8")


@pytest.mark.parametrize("url", ["..", "../..", "../../.."])
def test_a_folder_around_the_project_is_not_a_remote_in_the_tree(url: str, tmp_path: Path) -> None:
    root = configured(tmp_path / "top" / "ml", REMOTE.replace("../../store", url))

    assert in_tree_remotes(root, tmp_path / "top") == (root / "dvc-remote",)


@pytest.mark.parametrize("text", ["[core\n", "[core]\n    unknown = 1\n[remote]\n", "['remote \"mine\"']\nurl\n"])
def test_a_malformed_configuration_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="malformed") as caught:
        default_remote(configured(tmp_path / "own", text))

    assert caught.value.where == str(tmp_path / "own" / ".dvc")
