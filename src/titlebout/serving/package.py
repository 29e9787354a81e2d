"""Package a model as a self-contained bento, and run a smoke test of it.

A bento is a folder with the model, the modules of titlebout that it needs, the team's code, the locked requirements, a
service, and a Containerfile. It is built and tested in a scratch folder; only a bento that passes the smoke test replaces
the one under ``build/``.
"""

import logging
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from titlebout.core.errors import (
    Cause,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    first_cause,
)
from titlebout.core.markdown import code, escape, format_number, table
from titlebout.core.process import Completed, ProcessError, run
from titlebout.core.results import StepResult
from titlebout.core.yaml_text import to_yaml
from titlebout.models.champion import pull_champion
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.serving.library import copy_library
from titlebout.serving.requirements import serving_requirements
from titlebout.serving.smoke_test import SmokeTestResult, run_smoke_test, serve

logger = logging.getLogger(__name__)

DIGITS = 12
_BUILD_CAUSES = (
    Cause(
        r"unauthorized|authentication required|denied: requested access",
        PermissionRefusedError,
        "the registry does not give access to the base image {base}",
        "sign in with the registry, or set package.base_image to another image",
    ),
    Cause(
        r"manifest unknown|not found: manifest|name unknown",
        NotFoundError,
        "the base image {base} does not exist",
        "correct package.base_image",
    ),
    Cause(
        r"[Cc]onnection (?:refused|reset|timed out)|no such host|i/o timeout|TLS handshake|Temporary failure|"
        r"Could not resolve|\b50[0-9]\b|network is unreachable|toomanyrequests",
        TemporaryError,
        "a registry or package index could not be reached during the build on {base}",
        "check the network, then run the command again",
    ),
)
BUILDERS = ("docker", "podman", "buildah")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE_IMAGE = f"docker.io/library/python:{PYTHON}-slim"
MODEL_FILES = ("model.skops", "manifest.json", "golden.json")

SERVICE = '''"""The service that BentoML runs; see titlebout/serving/service.py."""

from pathlib import Path

from titlebout.serving.service import make_service

service = make_service(Path(__file__).parent / "model", name="{name}", package="{package}")
'''

README = """\
# {tag}

Packaged by titlebout. Run `BENTOML_DO_NOT_TRACK=True bentoml serve .` in this folder to serve it (the variable turns off
BentoML's usage reporting), or `docker build .` to build an image. `/schema.json` describes requests and responses.
"""

CONTAINERFILE = """\
# docker build --tag {tag} --build-arg BASE=<an image with Python {python} and its venv module> .
ARG BASE=docker.io/library/python:{python}-slim
FROM ${{BASE}} AS packages
COPY src/requirements.txt /app/requirements.txt
RUN python3 -m venv /app/.venv \\
 && /app/.venv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /app/requirements.txt

FROM ${{BASE}}
LABEL org.opencontainers.image.title="{name}" \\
      org.opencontainers.image.version="{version}" \\
      titlebout.model.digest="{digest}"
ENV PATH=/app/.venv/bin:$PATH \\
    BENTOML_HOME=/tmp/bentoml \\
    BENTOML_DO_NOT_TRACK=True \\
    PYTHONDONTWRITEBYTECODE=1
COPY --from=packages /app/.venv /app/.venv
COPY . /app/bento
USER 10001
WORKDIR /app/bento
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \\
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"]
CMD ["bentoml", "serve", "/app/bento", "--host", "0.0.0.0", "--port", "3000"]
"""


class PackageResult(StepResult):
    """The packaged model, and the result of its smoke test.

    Attributes
    ----------
    tag : str
        ``<name>:<first 12 digits of the model's digest>``.
    model_digest : str
        Digest of the model, by which every report and answer names it.
    bento, archive : str
        The bento as a folder and as one file, relative to the repository.
    size_bytes : int
        Size of the archive.
    golden_rows : int
        Number of golden rows that the service reproduced.
    max_difference : float
        Largest absolute difference of a prediction over HTTP from the stored one.
    image : str or None
        Reference of the container image.
    image_note : str
        How the image was built, or why none was built.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {
        "tag": "tag",
        "bento": "bento",
        "model-digest": "model_digest",
        "image": "image",
        "report": "report",
    }

    step: Literal["package"] = "package"
    tag: str
    model_digest: str
    bento: str
    archive: str
    size_bytes: int
    golden_rows: int
    max_difference: float
    image: str | None
    image_note: str

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        rows = [
            ("Bento", code(self.bento)),
            ("One file", escape(f"{self.archive} ({format_number(self.size_bytes / 1e3)} kB)")),
            ("Model", code(self.model_digest)),
            ("Golden rows", self.golden_rows),
            ("Largest difference", self.max_difference),
            ("Image", code(self.image) if self.image else escape(self.image_note)),
        ]
        return f"### Package: {escape(self.tag)}\n\n{escape(self.reasons[0])}.\n\n{table(('', ''), rows)}"


def package(project: Project, which: str = "champion", *, image: bool = False) -> PackageResult:
    """Package the champion or the challenger; see :func:`package_folder`.

    Parameters
    ----------
    project : Project
        Repository with the team's code and the locks.
    which : {"champion", "challenger"}
        Model to package.
    image : bool
        Also build a container image, on ``package.base_image`` of the settings.

    Raises
    ------
    NotFoundError
        If the model does not exist.
    UnsafeError
        If the model does not match its manifest or ``champion.dvc``, or the bento does not start or fails the smoke test.
    ProcessError
        If BentoML or the image builder fails.
    """
    base = project.settings.package.base_image or BASE_IMAGE
    folder = pull_champion(project) if which == "champion" else Dvc(project).pull_model(which)
    return package_folder(project, folder, image=image, base=base)


def package_folder(
    project: Project, model_folder: Path, *, image: bool = False, base: str = BASE_IMAGE
) -> PackageResult:
    """Build a bento, run a smoke test of it over HTTP, and move it to ``build/``.

    Parameters
    ----------
    project : Project
        Repository with the team's code and the locks.
    model_folder : Path
        See :mod:`titlebout.models.artifact`.
    image : bool
        Also build a container image, if a builder is available.
    base : str
        Base image of the container image.

    Raises
    ------
    UnsafeError
        If the weights do not match their manifest, or the bento does not start or fails the smoke test.
    ProcessError
        If BentoML or the image builder fails.
    """
    project.add_source_to_path()
    model = load_project_model(project, model_folder)
    tag, build = image_tag(project, model.digest), project.root / "build"
    name, version = tag.split(":")
    build.mkdir(exist_ok=True)
    logger.info("packaging %s", tag)
    # Outside the repository: BentoML does not build in a hidden folder, and the repository may be in one.
    with tempfile.TemporaryDirectory(prefix="titlebout-package-") as scratch:
        built = _build_bento(project, model_folder, tag, model.digest, Path(scratch))
        with serve(built, _environment(Path(scratch))) as client:
            smoke_result = run_smoke_test(client, model)
        archive = _pack(built, build / f"{name}-{version}.bento")
        bento = _replace_folder(built, build / "bento" / name)
    reference, note = _build_image(project, bento, tag, base if image else "")
    return PackageResult(
        passed=True,
        reasons=_reasons(tag, smoke_result, note),
        tag=tag,
        model_digest=model.digest,
        bento=bento.relative_to(project.root).as_posix(),
        archive=archive.relative_to(project.root).as_posix(),
        size_bytes=archive.stat().st_size,
        golden_rows=smoke_result.rows,
        max_difference=smoke_result.max_difference,
        image=reference,
        image_note=note,
    )


def image_tag(project: Project, digest: str) -> str:
    """Return the tag of a model's bento and image: the name of the service, and the first digits of the digest.

    The service has the name of the project, with the pipeline appended if it is not the default one.
    """
    settings = project.settings.project
    name = settings.name if project.pipeline == settings.pipeline else f"{settings.name}-{project.pipeline}"
    return f"{name}:{digest[:DIGITS]}"


def _build_bento(project: Project, model_folder: Path, tag: str, digest: str, scratch: Path) -> Path:
    stage, package = scratch / "stage", project.settings.project.package
    (stage / "model").mkdir(parents=True)
    for file in MODEL_FILES:
        shutil.copy(model_folder / file, stage / "model" / file)
    compiled = shutil.ignore_patterns("__pycache__", "*.pyc")
    copy_library(stage)
    shutil.copytree(project.root / "src" / package, stage / package, ignore=compiled)
    name, version = tag.split(":")
    (stage / "service.py").write_text(SERVICE.format(name=name, package=package), encoding="utf-8")
    (stage / "requirements.txt").write_text(serving_requirements(project.root), encoding="utf-8")
    bentofile = {
        "service": "service:service",
        "name": name,
        "description": README.format(tag=tag),
        "labels": {"model_digest": digest},
        "python": {"requirements_txt": "requirements.txt", "lock_packages": False},
    }
    (stage / "bentofile.yaml").write_text(to_yaml(bentofile), encoding="utf-8")
    command = [sys.executable, "-m", "bentoml", "build", "--version", version, str(stage)]
    run(command, cwd=scratch, env=_environment(scratch))
    bento = scratch / "bentoml" / "bentos" / name / version
    bento.chmod(0o755)
    _remove_build_time(bento / "bento.yaml")
    container = CONTAINERFILE.format(tag=tag, name=name, version=version, digest=digest, python=PYTHON)
    (bento / "Containerfile").write_text(container, encoding="utf-8")
    return bento


def _environment(scratch: Path) -> dict[str, str]:
    """Return environment variables that isolate BentoML: its store in scratch, no usage reporting, no other code."""
    return {
        "BENTOML_HOME": str(scratch / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "",
    }


def _remove_build_time(path: Path) -> None:
    """Replace the creation time by a fixed one, so that bentos of the same model have the same bytes."""
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub("(?m)^creation_time: .*$", "creation_time: '1980-01-01T00:00:00+00:00'", text), encoding="utf-8"
    )


def _pack(folder: Path, archive: Path) -> Path:
    """Write a folder as an archive for ``bentoml import``; the same folder gives the same bytes."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    partial = archive.with_suffix(".part")
    with tarfile.open(partial, "w:xz") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=anonymous)
    return partial.replace(archive)


def _replace_folder(folder: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    return Path(shutil.move(folder, target))


def _build_image(project: Project, bento: Path, tag: str, base: str) -> tuple[str | None, str]:
    """Return the reference of the image and how it was built, or None and why no image was built.

    Raises
    ------
    TitleboutError
        If the build fails: the error of its cause.
    """
    if not base:
        return None, "no image was built: not requested"
    builder = next((name for name in BUILDERS if _is_usable(name)), None)
    if builder is None:
        return None, f"no image was built: none of {', '.join(BUILDERS)} is usable on this machine"
    registry = project.settings.package.registry
    reference = f"{registry}/{tag}" if registry else tag
    # podman and buildah default to the OCI format, which has no health check.
    format_option = [] if builder == "docker" else ["--format", "docker"]
    arguments = ["--file", "Containerfile", "--build-arg", f"BASE={base}", "--tag", reference, *format_option]
    built = run([builder, "build", *arguments, "."], cwd=bento, check=False)
    if built.returncode != 0:
        failure = _build_failure(built, base)
        raise failure
    return reference, f"built with {builder} on {base}"


def _build_failure(built: Completed, base: str) -> TitleboutError:
    """Return the error of a failed build, of the class of its cause if that is known."""
    cause = first_cause(built.stderr + built.stdout, _BUILD_CAUSES)
    if cause is None:
        return ProcessError(built)
    return cause.error(
        cause.what.format(base=base), where=" ".join(built.command[:2]), why=built.tail(6), fix=cause.fix
    )


def _is_usable(builder: str) -> bool:
    """Return whether a builder is installed and, if it needs a daemon, whether the daemon is running."""
    try:
        return run([builder, "info"], check=False, timeout=30).returncode == 0
    except NotFoundError:
        return False


def _reasons(tag: str, smoke_result: SmokeTestResult, note: str) -> tuple[str, ...]:
    summary = f"the service of {tag} reproduces {smoke_result.rows} golden rows and rejects {smoke_result.refused} malformed ones"
    return summary, note
