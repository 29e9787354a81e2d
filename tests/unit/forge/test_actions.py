"""GitHub Actions: outputs, summaries, annotations and log lines, parsed as the runner parses them."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from titlebout.core.errors import DataError, DiskError
from titlebout.forge.actions import ANNOTATION_LIMIT, SUMMARY_LIMIT, Ci, annotation, defang

# ---------------------------------------------------------------------------------------------------------------------
# The runner's parsers, written from its documentation and observed behavior.

BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
IGNORED = "\0\xad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # ignored by .NET in culture-sensitive comparisons


def read_outputs(content: str) -> dict[str, str]:
    """Parse an output file like the runner: ``name=value`` and ``name<<delimiter``, lines ended by LF."""
    lines = iter(content.split("\n"))
    outputs: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        name, sign, rest = re.fullmatch(r"([^=<]+)(=|<<)(.*)", line, re.DOTALL).groups()
        if sign == "=":
            outputs[name] = rest
            continue
        value: list[str] = []
        while (current := next(lines)) != rest:
            value.append(current)
        outputs[name] = "\n".join(value)
    return outputs


def log_lines(text: str) -> list[str]:
    """Split a log into lines like the runner: at LF, CR and CR LF only."""
    return re.split(r"\r\n|\r|\n", text)


def parse_v2(line: str) -> tuple[str, dict[str, str], str] | None:
    """Parse ``::name key=value,key=value::data`` after leading whitespace."""
    line = line.lstrip(BLANKS)
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, rest = line[2:end].partition(" ")
    pairs = (pair.split("=", 1) for pair in rest.strip(BLANKS).split(",") if "=" in pair)
    return name, {key: unescape(value, ":,") for key, value in pairs if value}, unescape(line[end + 2 :])


def parse_v1(line: str) -> str | None:
    """Parse ``##[name]data`` anywhere in a line."""
    start = line.find("##[")
    return line[start:] if start >= 0 and "]" in line[start:] else None


def unescape(text: str, extra: str = "") -> str:
    for char in "\r\n" + extra + "%":
        text = text.replace(f"%{ord(char):02X}", char)
    return text


def commands(text: str) -> list[str]:
    """Return the lines in which the runner, in the most permissive reading, finds a command."""
    lines = (line.lstrip(BLANKS + IGNORED) for line in log_lines(text))
    return [line for line in lines if parse_v2(line) is not None or parse_v1(line) is not None]


# ---------------------------------------------------------------------------------------------------------------------
# Environment


def test_without_a_runner_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ci = Ci.from_environ({})
    ci.write_outputs({"verdict": "promote"})
    ci.write_summary("# All is well")
    assert ci == Ci()
    assert not ci.on_actions
    assert ci.api_url == "https://api.github.com"
    assert list(tmp_path.iterdir()) == []


def test_the_environment_of_a_push_is_read_completely(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"before": "a" * 40, "ref": "refs/heads/main"}))
    ci = Ci.from_environ(
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GITHUB_API_URL": "https://git.example.org/api/v3/",
            "GITHUB_SERVER_URL": "https://git.example.org",
            "GITHUB_REPOSITORY": "team/flights",
            "GITHUB_RUN_ID": "42",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_SHA": "b" * 40,
            "GITHUB_BASE_REF": "",
            "TITLEBOUT_TOKEN": "secret\n",
        }
    )
    assert ci == Ci(
        on_actions=True,
        output_path=tmp_path / "output",
        summary_path=tmp_path / "summary",
        api_url="https://git.example.org/api/v3",
        server_url="https://git.example.org",
        repository="team/flights",
        run_url="https://git.example.org/team/flights/actions/runs/42",
        event_name="push",
        ref="refs/heads/main",
        sha="b" * 40,
        before="a" * 40,
        base_ref=None,
        token="secret",
    )


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_BASE_REF", "release/1")
    assert Ci.from_environ().base_ref == "release/1"


def test_the_token_is_excluded_from_repr() -> None:
    assert "secret" not in repr(Ci.from_environ({"TITLEBOUT_TOKEN": "secret"}))


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ('{"before": "%s"}' % ("0" * 40), "push"),  # the branch is new
        ('{"before": "--upload-pack=touch"}', "push"),
        ('{"before": ["a"]}', "push"),
        ("{}", "push"),
        ("[1]", "push"),
        ("not json", "push"),
        (None, "push"),
        ('{"before": "%s"}' % ("a" * 40), "pull_request"),
    ],
)
def test_before_is_none_unless_a_push_has_a_previous_commit(tmp_path: Path, event: str | None, name: str) -> None:
    path = tmp_path / "event.json"
    if event is not None:
        path.write_text(event)
    assert Ci.from_environ({"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path)}).before is None


def test_a_push_without_an_event_file_has_no_before() -> None:
    assert Ci.from_environ({"GITHUB_EVENT_NAME": "push"}).before is None


# ---------------------------------------------------------------------------------------------------------------------
# Outputs

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
words = texts.map(lambda text: text.strip(BLANKS)[:200]).filter(bool)


@given(st.dictionaries(names, texts))
@example({"columns": "a\ndecision=promote", "decision": "keep"})
@example({"columns": "a\nx<<EOF\ny\nEOF\n", "trailing": "\n", "empty": "", "cr": "a\r\nb\r"})
def test_text_outputs_are_unchanged(tmp_path_factory: pytest.TempPathFactory, outputs: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("runner") / "output"
    path.touch()
    Ci(output_path=path).write_outputs(outputs)
    assert read_outputs(path.read_bytes().decode()) == outputs


@given(st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=5))
def test_other_outputs_are_json(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("runner") / "output"
    Ci(output_path=path).write_outputs({"value": value})
    text = read_outputs(path.read_bytes().decode())["value"]
    assert (text if isinstance(value, str) else json.loads(text)) == value


def test_booleans_and_lists_are_compact_json(tmp_path: Path) -> None:
    path = tmp_path / "output"
    Ci(output_path=path).write_outputs({"passed": True, "drift": False, "columns": ["é", 1]})
    assert read_outputs(path.read_text()) == {"passed": "true", "drift": "false", "columns": '["é",1]'}


def test_later_outputs_are_appended_with_another_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "output"
    ci = Ci(output_path=path)
    ci.write_outputs({"first": "1"})
    ci.write_outputs({"second": "2"})
    delimiters = re.findall(r"<<([0-9a-f]{32})$", path.read_text(), re.MULTILINE)
    assert len(set(delimiters)) == 2
    assert read_outputs(path.read_text()) == {"first": "1", "second": "2"}


@pytest.mark.parametrize("value", ["a\0b", "\ud800", ["\udc80.csv"]])
def test_an_output_with_forbidden_characters_is_refused_before_writing(tmp_path: Path, value: object) -> None:
    path = tmp_path / "output"
    with pytest.raises(DataError, match="'columns'"):
        Ci(output_path=path).write_outputs({"before": "1", "columns": value})
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a=b", "a<<b", "a\nb", "a\n", "é"])
def test_an_invalid_output_name_is_a_value_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid name of a workflow output"):
        Ci(output_path=tmp_path / "output").write_outputs({name: "1"})


def test_an_unwritable_output_file_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="cannot write missing"):
        Ci(output_path=tmp_path / "no" / "missing").write_outputs({"a": "1"})


def test_the_library_never_uses_files_that_change_later_steps() -> None:
    source = Path(__file__).parents[3] / "src" / "titlebout"
    owners = {path.name for path in source.rglob("*.py") if re.search(r"GITHUB_(ENV|PATH|STATE)\b", path.read_text())}
    assert owners == set()


# ---------------------------------------------------------------------------------------------------------------------
# Summary


def test_summaries_are_appended_as_paragraphs(tmp_path: Path) -> None:
    ci = Ci(summary_path=tmp_path / "summary")
    ci.write_summary("# One\n")
    ci.write_summary("two é")
    assert (tmp_path / "summary").read_text() == "# One\n\ntwo é\n\n"


@given(st.lists(st.tuples(st.integers(0, 700_000), st.sampled_from(["x" * 99, "é" * 40])), max_size=4))
@example([(900_000, "x" * 99)])
@example([(850_000, "x" * 99), (100_000, "x" * 99), (100_000, "x" * 99)])
def test_summaries_stay_below_the_limit_and_end_at_line_ends(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, str]]
) -> None:
    path = tmp_path_factory.mktemp("runner") / "summary"
    ci = Ci(summary_path=path)
    total = 0
    for size, line in parts:
        text = (line + "\n") * (size // len(line.encode()))
        total += len(text.encode())
        ci.write_summary(text)
    written = path.read_bytes() if path.exists() else b""
    kept = written.decode().split("\n")
    assert len(written) <= SUMMARY_LIMIT
    assert {line for line in kept if "truncated" not in line} <= {"x" * 99, "é" * 40, ""}
    assert any("was truncated" in line for line in kept) == (total > SUMMARY_LIMIT - 300)


def test_one_line_beyond_the_limit_leaves_only_the_note(tmp_path: Path) -> None:
    Ci(summary_path=tmp_path / "summary").write_summary("x" * 2_000_000)
    assert (tmp_path / "summary").read_text().strip().startswith("*This summary was truncated")


def test_nothing_is_appended_to_a_full_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * SUMMARY_LIMIT)
    Ci(summary_path=path).write_summary("more")
    assert path.stat().st_size == SUMMARY_LIMIT


# ---------------------------------------------------------------------------------------------------------------------
# Annotations


@given(texts, words, words)
@example("100 %\r\n::error::x", "a:b,c.py", "%0A")
def test_an_annotation_is_parsed_unchanged_by_the_runner(message: str, file: str, title: str) -> None:
    line = annotation("warning", message, file=file, line=7, title=title)
    assert log_lines(line) == [line]
    name, properties, data = parse_v2(line)
    assert (name, data) == ("warning", message)
    assert properties == {"file": file, "line": "7", "title": title}


def test_an_annotation_needs_no_file() -> None:
    assert annotation("error", "broken") == "::error::broken"


@given(st.text("%\n:x", min_size=1), st.integers(1, 8000), st.integers(1, 3000))
def test_a_long_annotation_is_truncated_between_escapes(seed: str, length: int, file_length: int) -> None:
    message = (seed * length)[:length]
    line = annotation("error", message, file=(seed * file_length)[:file_length])
    _, properties, data = parse_v2(line)
    assert len(line) <= ANNOTATION_LIMIT
    assert data == message or (data.endswith("…") and message.startswith(data[:-1]) and len(data) > 800)
    assert len(properties["file"]) <= 1000


# ---------------------------------------------------------------------------------------------------------------------
# Output of child processes

corpus = [
    "::set-output name=decision::promote",
    "  \t::add-mask::e",
    "\u2003\u3000::error::x",
    "\xa0::error::x",
    "\ufeff::error::x",
    "\0::error::x",
    "\u200b\u200b::error::x",
    ":::error::x",
    "::::",
    ":: ::",
    "progress 10%\r::stop-commands::pwn",
    "a\r\n::error::x\r\n",
    "\n\n  \n::error::x",
    "mid-line ##[error]x",
    "####[[group]]",
    "##[##[add-path]/tmp",
    "##[command\n]",
    "::##[error]x::y",
]
log_texts = st.text(st.sampled_from("::##[]\r\n \t\0ab=,\u2003\x85\ufeff\u200b"), max_size=60)


@pytest.mark.parametrize("text", corpus)
def test_the_runner_sees_no_command_in_a_defanged_line(text: str) -> None:
    assert commands(defang(text)) == []


@given(st.one_of(log_texts, st.text(), st.lists(st.sampled_from(corpus)).map("".join)))
def test_the_runner_sees_no_command_in_any_defanged_text(text: str) -> None:
    assert commands(defang(text)) == []


@given(log_texts)
def test_defanging_only_adds_spaces(text: str) -> None:
    def letters(log: str) -> str:
        return re.sub(r"[ \r\n]", "", log)

    assert letters(defang(text)) == letters(text)
    assert len(log_lines(defang(text))) == len(log_lines(text))
    assert defang(defang(text)) == defang(text)


@given(st.text(string.ascii_letters + ".,;-_/()[]:#\n").filter(lambda text: "::" not in text and "##[" not in text))
def test_a_log_without_command_markers_is_unchanged(text: str) -> None:
    assert defang(text) == text


def test_the_parser_of_this_test_finds_commands_in_the_corpus() -> None:
    without_commands = [text for text in corpus if not commands(text)]
    assert without_commands == ["##[command\n]"]
