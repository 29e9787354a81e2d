"""Plain words: the field's terms only, wherever a person reads (docs/explanation/glossary.md, docs/decisions/0015-words.md)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "cookiecutter"
# A private word, or a habit of one: personification, a relative clause in the place of a noun, a negation in the place of
# a word. Beside each, what to write instead.
BANNED = {
    r"told|tells?|said": "message, detail, description, output; report, state, name",
    r"bouts?": "evaluation, paired comparison",
    r"rings?|crown(?:s|ed)?|contenders?|opponents?|withst\w+": "gate context, promote, strategy, baseline, not rejected",
    r"whom|nobody|somebody": "the thing itself: model, row, user, no champion",
    r"(?<!there )(?:is no(?= )|is none|are none)": "is not a valid ..., there is no ...",
    r"so many|so long|so few": "this many, the number of ..., until",
    r"let us in|be had|of theirs": "access denied, available, their own",
    r"titles?(?= (?:from|changed|of the(?! issue| pull)|back|to|is|was))": "the champion; 'title' stays in the name and the tagline",
}
BANNED_IN_NAMES = {
    "told",
    "tell",
    "tells",
    "said",
    "who",
    "whom",
    "nobody",
    "somebody",
    "bout",
    "bouts",
    "crown",
    "crowned",
    "contender",
    "contenders",
    "opponent",
    "opponents",
}
# At the beginning of a string: an f-string is read in parts, and its number is the part before.
SPACED_PERCENT = re.compile(r"(?:\d|^) %(?![\w({])")
TAGLINE = "has to win the title from the one that serves"
# One test for each folder, within the budget of a pure test.
PYTHON = {
    name: [path for path in (ROOT / name).rglob("*.py") if path != Path(__file__)]
    for name in ("src", "demo", "scripts", "benchmarks", "tests", "cookiecutter/hooks")
}
WRITTEN = {name: paths for name, paths in PYTHON.items() if name != "tests"}  # tests hold what users may type
PROSE = [
    *(path for path in (ROOT / "docs").rglob("*.md") if "decisions" not in path.parts),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "titlebout.toml")),
    *(ROOT / "tests").glob("README.md"),
    *(ROOT / ".github" / "actions").rglob("*.yml"),
    *(ROOT / ".github" / "actions").rglob("*.sh"),
    *(
        path
        for path in TEMPLATE.rglob("*")
        if path.suffix in {".md", ".toml", ".yml", ".yaml", ".txt"} and "licenses" not in path.parts
    ),
    *(ROOT / "src").rglob("*.txt"),
]


def banned(text: str) -> list[str]:
    """Return the banned words of a text."""
    text = " ".join(text.split()).replace(TAGLINE, "")
    return [match[0] for words in BANNED for match in re.finditer(rf"\b(?:{words})\b", text, re.IGNORECASE)]


def readable(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of everything in a Python file that is written for a person: strings and comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    # To tokenize is slow, and hardly any file has a banned word behind a "#".
    if any(banned(behind) for behind in re.findall(r"#.*", source)):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def parts(path: Path) -> Iterable[tuple[int, str]]:
    """Return the lines of a file, and of a program only its strings and comments, without the tagline."""
    text = path.read_text(encoding="utf-8")
    wrapped_tagline = r"\s+".join(TAGLINE.split())  # a help text may break it over two lines
    without = re.sub(wrapped_tagline, lambda tagline: "\n" * tagline[0].count("\n"), text)
    return readable(text) if path.suffix == ".py" else enumerate(without.splitlines(), 1)


def faults(path: Path) -> list[str]:
    """Return where a file has which banned word."""
    return [f"{path.relative_to(ROOT)}:{line}: {word!r}" for line, part in parts(path) for word in banned(part)]


@pytest.mark.parametrize("paths", [*PYTHON.values(), PROSE], ids=[*PYTHON, "documentation"])
def test_no_banned_word_is_written(paths: list[Path]) -> None:
    found = [fault for path in paths if path.is_file() for fault in faults(path)]
    assert found == [], "write the field's term:\n" + "\n".join(found)


@pytest.mark.parametrize("paths", [*WRITTEN.values(), PROSE], ids=[*WRITTEN, "documentation"])
def test_no_space_separates_a_number_from_its_percent_sign(paths: list[Path]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {part}"
        for path in paths
        if path.is_file()
        for line, part in parts(path)
        if SPACED_PERCENT.search(part)
    ]
    assert found == []


def test_the_list_finds_what_it_bans() -> None:
    assert banned("The bout is told to whom so many opponents withstood, and the address is no URL") == [
        "told",
        "bout",
        "opponents",
        "withstood",
        "whom",
        "is no",
        "so many",
    ]
    assert banned("titlebout: string, during, spring, tellurium, whomever, a subtitle from 1990") == []
    assert banned(f"every retrained model {TAGLINE}") == []


def test_strings_and_comments_of_a_program_are_read() -> None:
    source = 'def f(x: int) -> str:\n    """Told."""\n    return f"said {x}"  # bout\n'
    assert [(line, banned(text)) for line, text in readable(source) if banned(text)] == [
        (2, ["Told"]),
        (3, ["said"]),
        (3, ["bout"]),
    ]


def test_every_input_and_output_of_an_action_is_described() -> None:
    for path in (ROOT / ".github" / "actions").glob("*/action.yml"):
        action = yaml.safe_load(path.read_text(encoding="utf-8"))
        for part in ("inputs", "outputs"):
            assert all(entry.get("description", "").endswith(".") for entry in action.get(part, {}).values()), path


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of everything that a Python file defines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def banned_parts(name: str) -> list[str]:
    """Return the banned words of an identifier in snake or camel case."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().split("_")
    return [word for word in words if word in BANNED_IN_NAMES]


@pytest.mark.parametrize("paths", PYTHON.values(), ids=PYTHON)
def test_no_banned_word_is_part_of_a_name(paths: list[Path]) -> None:
    assert paths
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in paths
        for line, name in identifiers(path.read_text(encoding="utf-8"))
        if banned_parts(name)
    ]
    assert found == []


def test_the_words_of_a_name_are_found() -> None:
    assert banned_parts("test_it_is_told_once") == ["told"]
    assert banned_parts("CrownedModel") == ["crowned"]
    assert banned_parts("toldo_whole") == []
    source = "class Bout:\n    def tell(self, whom): said = whom\n"
    assert [name for _, name in identifiers(source) if banned_parts(name)] == ["Bout", "tell", "whom", "said"]


def test_no_name_of_a_test_has_more_than_twelve_words() -> None:
    names = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert len(names) > 500
    assert sorted(name for name in names if len(name.split("_")) > 13) == []
