"""Prose is in American spelling: the documentation, the template, and docstrings and comments of the code."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("authoris", "categoris", "centralis", "customis", "finalis", "generalis", "initialis", "localis", "materialis",
         "maximis", "memoris", "minimis", "normalis", "optimis", "organis", "parametris", "penalis", "prioritis", "randomis",
         "realis", "recognis", "regularis", "serialis", "specialis", "stabilis", "standardis", "summaris", "synchronis",
         "tokenis", "utilis", "vectoris", "visualis")  # fmt: skip
BRITISH = re.compile(
    rf"""\b(
    \w*(behaviour|colour|favour|flavour|honour|neighbour)\w*
    | \w*({"|".join(ROOTS)})(e|ed|er|ers|es|ing|ation|ations)
    | (un|re)?labell(ed|ing) | modell(ed|ing|er) | signall(ed|ing) | travell(ed|ing|er)
    | analys(e|ed|es|ing) | artefacts? | (dis)?favours? | centr(e|es|ed|ing) | fibres? | metres?
    | defence | licence[sd]? | offence | judgement | fulfil | learnt | misspelt | spelt | whilst | amongst
    | afterwards | backwards | forwards | towards | practis(e|ed|es|ing) | per\ cent
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
TEMPLATE = ROOT / "cookiecutter"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
FILES = [
    path
    for folder in (TEMPLATE, ROOT / ".github")
    for path in folder.rglob("*")
    if path.is_file() and not path.is_symlink() and path.suffix in {".md", ".toml", ".yaml", ".yml", ".sh"}
]
CODE = [path for name in ("src", "demo", "scripts", "benchmarks") for path in (ROOT / name).rglob("*.py")]


def british(text: str) -> list[str]:
    return [found[0] for found in BRITISH.finditer(text)]


def without_code(markdown: str) -> str:
    """A page without blocks and spans of code: those hold names."""
    return re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", markdown, flags=re.DOTALL | re.MULTILINE)


def prose(source: str) -> Iterator[str]:
    """Docstrings and comments of a module, without the names of parameters and what is quoted as code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            yield re.sub(r"^\w+(, \w+)* : .*$|``[^`]*``|:\w+:`[^`]*`", "", text, flags=re.MULTILINE)
    # To tokenize is slow, and hardly any file has a British word behind a "#".
    if any(british(behind) for behind in re.findall(r"#.*", source)):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.string


@pytest.mark.parametrize(
    "word", ["behaviour", "Normalised", "labelled", "licence", "centre", "authorisation", "per cent"]
)
def test_a_british_word_is_found(word: str) -> None:
    assert british(f"the {word} of it") == [word]


@pytest.mark.parametrize(
    "word",
    ["behavior", "normalized", "labeled", "license", "center", "raise", "precise", "exercise", "analysis", "meter"],
)
def test_an_american_word_is_not_found(word: str) -> None:
    assert british(f"the {word} of it") == []


def test_pages_and_the_template_are_in_american_spelling() -> None:
    texts = {path: without_code(path.read_text("utf-8")) for path in PAGES}
    texts |= {path: path.read_text("utf-8") for path in FILES}
    found = {(path.relative_to(ROOT).as_posix(), word) for path, text in texts.items() for word in british(text)}

    assert len(texts) > 50
    assert found == set()


def test_docstrings_and_comments_are_in_american_spelling() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), word)
        for path in CODE
        for text in prose(path.read_text("utf-8"))
        for word in british(text)
    }

    assert found == set()
