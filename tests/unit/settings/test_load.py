"""Reading titlebout.toml and params.yaml: strict, and every error names the place and the fix."""

import re
from pathlib import Path

import pytest

from sample import PARAMS, SETTINGS
from titlebout.core.errors import ConfigError, ExitCode, NotFoundError
from titlebout.settings.gate import margin_size
from titlebout.settings.load import load_params, load_settings, settings_schema
from titlebout.settings.settings import Settings

ROOT = Path(__file__).parents[3]

UNGATED = re.sub(r"^\[gate.*?(?=^\[retrain)", "", SETTINGS, flags=re.DOTALL | re.MULTILINE)


def settings(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "titlebout.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def params(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> ConfigError:
    load = load_settings if path.suffix == ".toml" else load_params
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(path) in str(caught.value.where)
    return caught.value


def test_only_the_names_of_the_project_have_no_default(tmp_path: Path) -> None:
    found = load_settings(settings(tmp_path, SETTINGS))

    assert found.project.name == "ferries"
    assert found.gate.min_rows == 100
    assert (found.gate.alpha, found.retrain.base, found.package.registry) == (0.05, "main", "")


@pytest.mark.parametrize(
    ("written", "size"),
    [("0.01", (0.01, False)), ("2", (2, False)), ("'2 %'", (0.02, True)), ("'0.5%'", (0.005, True))],
)
def test_a_margin_is_a_number_or_a_share(written: str, size: tuple[float, bool], tmp_path: Path) -> None:
    found = load_settings(settings(tmp_path, SETTINGS.replace("min_rows = 100", f"margin = {written}"))).gate.margin

    assert found is not None
    assert margin_size(found) == size


def test_parameters_are_read_with_their_types(tmp_path: Path) -> None:
    found = load_params(params(tmp_path, PARAMS))

    assert (found.data.target, found.split.holdout_days) == ("late", 14)
    assert found.train.hyperparameters == {"C": 1.0}


@pytest.mark.parametrize("name", ["titlebout.toml", "pipelines/flights-delay/params.yaml"])
def test_this_repositorys_own_configuration_is_valid(name: str) -> None:
    path = ROOT / name

    assert (load_settings if path.suffix == ".toml" else load_params)(path)


def test_settings_cannot_be_changed_after_reading(tmp_path: Path) -> None:
    found = load_settings(settings(tmp_path, SETTINGS))

    with pytest.raises(ValueError, match="frozen"):
        found.gate.alpha = 0.4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "key", "suggestion"),
    [
        ("[gate]\nalhpa = 0.1", "gate.alhpa", "did you mean 'alpha'?"),
        ("[gates]\nalpha = 0.1", "gates", "did you mean 'gate'?"),
        ("[drift]\nwindow = 3", "drift.window", "did you mean 'window_days'?"),
        ("[package]\nqqq = 3", "package.qqq", "remove it, or use one of the keys: "),
        ("[gate.slices]\ncolumn = ['carrier']", "gate.slices.column", "did you mean 'columns'?"),
        ("[gate.rules]\ndecay = 'superior'", "gate.rules.decay", "did you mean 'perf_decay'?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_known_one(
    wrong: str, key: str, suggestion: str, tmp_path: Path
) -> None:
    text = UNGATED + wrong
    error = refused(settings(tmp_path, text))

    assert error.what == f"unknown key {key!r}"
    assert str(error.fix).startswith(suggestion)


def test_an_unknown_parameter_is_refused_with_the_closest_known_one(tmp_path: Path) -> None:
    error = refused(params(tmp_path, PARAMS.replace("holdout_days", "holdout_day")))

    assert (error.what, error.fix) == ("unknown key 'split.holdout_day'", "did you mean 'holdout_days'?")


def test_a_misspelled_required_key_is_reported_as_unknown(tmp_path: Path) -> None:
    error = refused(params(tmp_path, PARAMS.replace("target: late", "targets: late")))

    assert (error.what, error.fix) == ("unknown key 'data.targets'", "did you mean 'target'?")


def test_hyperparameters_may_have_any_keys(tmp_path: Path) -> None:
    found = load_params(params(tmp_path, PARAMS.replace("C: 1.0", "anything: [1, two]")))

    assert found.train.hyperparameters == {"anything": [1, "two"]}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("min_rows = 100", "min_rows = 'many'", "gate.min_rows"),
        ("min_rows = 100", "min_rows = 1", "gate.min_rows"),
        ("min_rows = 100", "min_rows = 99.5", "gate.min_rows"),
        ("min_rows = 100", "alpha = 0.5", "gate.alpha"),
        ("min_rows = 100", "alpha = nan", "gate.alpha"),
        ("min_rows = 100", "margin = 0", "gate.margin"),
        ("min_rows = 100", "margin = -0.01", "gate.margin"),
        ("min_rows = 100", "margin = inf", "gate.margin"),
        ("min_rows = 100", "margin = '0 %'", "gate.margin"),
        ("min_rows = 100", "margin = '2'", "gate.margin"),
        ("min_rows = 100", "margin = '-2 %'", "gate.margin"),
        ("min_rows = 100", "margin = [2]", "gate.margin"),
        ("min_rows = 100", "anchor = 'maybe'", "gate.anchor"),
        ("min_rows = 100", "floors = 1", "gate.floors"),
        ("min_rows = 100", "guardrails = 1", "gate.guardrails"),
        ("min_rows = 100", "floors.rmse = 'low'", "gate.floors.rmse"),
        ("min_rows = 100", "rules.age = 'never'", "gate.rules.age"),
        ('columns = ["harbour"]', "min_rows = 9", "gate.slices.min_rows"),
        ("min_rows = 100", "calibration.min_slope = 1.5", "gate.calibration.min_slope"),
        ("min_rows = 100", "false_promotions_per_year = 0", "gate.false_promotions_per_year"),
        ('name = "ferries"', 'name = "Ferries & Co"', "project.name"),
        ('name = "ferries"', 'name = ["ferries"]', "project.name"),
        ('pipeline = "ferries"', 'pipeline = "../ferries"', "project.pipeline"),
        ('package = "ferries"', 'package = "fer-ries"', "project.package"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused(old: str, new: str, key: str, tmp_path: Path) -> None:
    error = refused(settings(tmp_path, SETTINGS.replace(old, new)))

    assert error.what.startswith(f"{key} must ")
    assert new.partition(" = ")[2].strip("[]'\"") in str(error.why)
    assert str(error.fix).startswith(f"correct the value of {key}: ")
    assert str(error.fix).endswith(".")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SETTINGS.replace('name = "ferries"\n', ""), "project.name"),
        (SETTINGS.replace('[checks]\nsuite = "expectations/ferries.json"', ""), "checks"),
        ("", "project"),
    ],
)
def test_a_missing_key_is_named(text: str, key: str, tmp_path: Path) -> None:
    assert refused(settings(tmp_path, text)).what == f"required key {key!r} is missing"


@pytest.mark.parametrize(
    ("text", "form"), [("[gate", "TOML"), ("a = 1\na = 2", "TOML"), ("= 3", "TOML"), (b"name = '\xe9'", "UTF-8")]
)
def test_invalid_toml_is_refused(text: str | bytes, form: str, tmp_path: Path) -> None:
    error = refused(settings(tmp_path, text))

    assert error.what == f"titlebout.toml is not valid {form}"
    assert error.why


@pytest.mark.parametrize("text", ["data: [", "data:\n\t- tab", "&a *a", "!!python/object/apply:os.system [ls]"])
def test_invalid_or_unsafe_yaml_is_refused(text: str, tmp_path: Path) -> None:
    error = refused(params(tmp_path, text))

    assert error.what == "params.yaml is not valid YAML"
    assert error.why


@pytest.mark.parametrize("text", ["- data\n- split\n", "data", "3"])
def test_yaml_without_keys_is_refused(text: str, tmp_path: Path) -> None:
    assert refused(params(tmp_path, text)).what == "params.yaml is not a table of keys and values"


def test_a_value_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    text = "gate = 3\n" + UNGATED

    assert refused(settings(tmp_path, text)).what == "gate is not a table of keys and values"


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert load_settings(settings(tmp_path, b"\xef\xbb\xbf" + SETTINGS.encode()))


def test_a_numeric_key_is_refused(tmp_path: Path) -> None:
    assert refused(params(tmp_path, PARAMS + "1: x\n")).what == "unknown key '1'"


def test_a_split_by_time_needs_a_time_column(tmp_path: Path) -> None:
    error = refused(params(tmp_path, PARAMS.replace("time: departure", "time: ''")))

    assert error.what == "split.by is 'time', but data.time is empty"
    assert "split.by" in str(error.fix)


@pytest.mark.parametrize("model", ["ferries.model", "ferries.model:", "ferries/model:build", "os;system:x"])
def test_a_model_that_is_not_module_and_function_is_refused(model: str, tmp_path: Path) -> None:
    error = refused(params(tmp_path, PARAMS.replace("ferries.model:build_model", f"'{model}'")))

    assert error.what.startswith("train.model must match")


@pytest.mark.parametrize("load", [load_settings, load_params])
def test_a_missing_file_error_says_how_to_create_one(load: type, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not found") as caught:
        load(tmp_path / "titlebout.toml")

    assert "titlebout new" in str(caught.value.fix)


def test_the_schema_for_editors_knows_every_table_and_describes_every_key() -> None:
    schema = settings_schema()

    assert set(schema["properties"]) == set(Settings.model_fields)
    for table in schema["$defs"].values():
        assert not table["additionalProperties"]
        assert table["description"]
        assert all(key.get("description") or "$ref" in key for key in table["properties"].values()), table["title"]


def test_an_invalid_value_is_shown_without_its_password(tmp_path: Path) -> None:
    error = refused(settings(tmp_path, SETTINGS + '[drift]\ncurrent = ["postgresql://reader:hush@db/ferries"]\n'))

    assert error.what == "drift.current must be text"
    assert "hush" not in str(error.to_dict())
