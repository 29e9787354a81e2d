"""A release is one version: in the tag, in pyproject.toml and in the changelog."""

import pytest

from check_release import main, problems

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.3] - 2026-11-28

### Added

- A thing.

## [1.2.2] - 2026-10-01

- Another.

[Unreleased]: https://example.org/compare/v1.2.3...main
[1.2.3]: https://example.org/releases/tag/v1.2.3
"""


def pyproject(version: str = "1.2.3") -> str:
    return f'[project]\nname = "x"\nversion = "{version}"\n'


def test_a_consistent_release_has_no_problem() -> None:
    assert problems("v1.2.3", pyproject(), CHANGELOG) == []


def test_a_release_candidate_is_a_release() -> None:
    assert problems("v1.2.3rc1", pyproject("1.2.3rc1"), CHANGELOG.replace("1.2.3", "1.2.3rc1")) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.3 ", "v1.2.30", ""])
def test_a_tag_of_another_version_is_a_problem(tag: str) -> None:
    assert problems(tag, pyproject(), CHANGELOG) == [
        f"the tag is '{tag}', but the version in pyproject.toml is '1.2.3'"
    ]


@pytest.mark.parametrize("version", ["1.2", "1.2.3.dev0", "1.2.3+local", "01.x.3"])
def test_a_version_that_is_not_for_release_is_a_problem(version: str) -> None:
    found = problems(f"v{version}", pyproject(version), CHANGELOG.replace("1.2.3", version))

    assert found == [f"pyproject.toml: '{version}' is not a version such as 1.2.3 or 1.2.3rc1"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (" - 2026-11-28", "", "the newest release is not '## [1.2.3] - YYYY-MM-DD'"),
        ("## [1.2.3] - 2026-11-28", "", "the newest release is not '## [1.2.3] - YYYY-MM-DD'"),
        ("## [1.2.3] -", "## [1.2.4] - 2026-11-29\n\n## [1.2.3] -", "the newest release is not '## [1.2.3] - YYYY-"),
        ("[1.2.3]: https", "[1.2.4]: https", "there is no link for [1.2.3] at the end"),
        ("[Unreleased]\n", "[Unreleased]\n\n### Fixed\n\n- A fault.\n", "entries are left under Unreleased"),
    ],
    ids=["no date", "no heading", "a newer heading", "no link", "unreleased entries"],
)
def test_a_changelog_without_the_release_is_a_problem(old: str, new: str, problem: str) -> None:
    assert old in CHANGELOG
    (found,) = problems("v1.2.3", pyproject(), CHANGELOG.replace(old, new))

    assert found.startswith(f"CHANGELOG.md: {problem}")


def test_without_a_tag_the_script_prints_its_usage() -> None:
    assert main([]) == 2


def test_a_tag_that_was_never_prepared_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["v0.0.0"]) == 1
    assert "error: the tag is 'v0.0.0', but the version in pyproject.toml is '" in capsys.readouterr().err
