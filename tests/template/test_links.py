"""A template without its symbolic links, from an archive or from git without them, gives the same repository."""

import json
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from generation import ROOT, files_of, run

SLUG = "{{cookiecutter.project_slug}}"
COMMIT = "commit = "


def without_commit(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out the commit of titlebout, which an archive does not know."""
    origin = [line for line in files[".titlebout.toml"].decode().splitlines() if not line.startswith(COMMIT)]
    return {**files, ".titlebout.toml": "\n".join(origin).encode()}


@pytest.fixture(scope="module", params=["git", "zip"])
def unlinked(request: pytest.FixtureRequest, framework: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The framework as git without links, or Python's zipfile, puts it on a disk."""
    folder = tmp_path_factory.mktemp("unlinked")
    if request.param == "git":
        cloned = run("git", "-c", "core.symlinks=false", "clone", "--quiet", framework, "titlebout", cwd=folder)
        assert cloned.returncode == 0, cloned.stderr
    else:
        archive = folder / "titlebout.zip"
        made = run("git", "archive", "--format=zip", "--prefix=titlebout/", "-o", archive, "HEAD", cwd=framework)
        assert made.returncode == 0, made.stderr
        with ZipFile(archive) as content:
            content.extractall(folder)
    assert (folder / "titlebout" / "cookiecutter" / SLUG / ".github" / "actions").is_file()
    return folder / "titlebout"


def test_cookiecutter_follows_the_texts_of_the_links(unlinked: Path, project: Path, tmp_path: Path) -> None:
    # A relative address, as a reader types it; the shell sets PWD.
    ran = run(
        *("cookiecutter", unlinked.name, "--no-input", "--output-dir", tmp_path),
        cwd=unlinked.parent,
        PWD=str(unlinked.parent),
    )

    assert ran.returncode == 0, ran.stderr
    assert without_commit(files_of(tmp_path / project.name)) == without_commit(files_of(project))


def test_titlebout_new_follows_them_too(unlinked: Path, project: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "titlebout", "new", "Flights delay", "--output-dir", "out", "--json")
    ran = run(*command, cwd=tmp_path, PYTHONPATH=str(unlinked / "src"))

    assert ran.returncode == 0, ran.stderr
    generated = files_of(Path(json.loads(ran.stdout)["path"]))
    assert without_commit(generated) == without_commit(files_of(project))


def test_cookiecutter_takes_the_archive_itself(framework: Path, project: Path, tmp_path: Path) -> None:
    archive = tmp_path / "titlebout-main.zip"
    run("git", "archive", "--format=zip", "--prefix=titlebout-main/", "-o", archive, "HEAD", cwd=framework)
    ran = run("cookiecutter", archive, "--no-input", "--output-dir", tmp_path / "out", cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert without_commit(files_of(tmp_path / "out" / project.name)) == without_commit(files_of(project))


@pytest.mark.parametrize(
    "text", ["../../../../secret", "../../../../../../../../../../etc/hostname", "../../../nothing"]
)
def test_a_link_out_of_the_repository_is_refused_and_leaves_nothing(unlinked: Path, tmp_path: Path, text: str) -> None:
    copy = tmp_path / "copy"
    run("cp", "-r", unlinked, copy, cwd=tmp_path)
    (tmp_path / "secret").write_text("secret")
    (copy / "cookiecutter" / SLUG / ".github" / "zizmor.yml").write_text(text)
    out = tmp_path / "out"
    ran = run("cookiecutter", copy, "--no-input", "--output-dir", out, cwd=tmp_path)

    assert ran.returncode != 0
    assert f"titlebout: .github/zizmor.yml is a link of the template to {text}, which is not in" in ran.stderr
    assert not list(out.rglob("*"))


def test_no_other_file_of_the_template_looks_like_a_link(project: Path) -> None:
    assert not [name for name, content in files_of(project).items() if content.startswith(b"../")]
    assert (ROOT / "cookiecutter" / SLUG / ".github" / "actions").is_symlink()
