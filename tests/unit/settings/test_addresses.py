"""Addresses of data sources: values come from environment variables, and no secret is shown."""

import pytest

from titlebout.core.errors import ConfigError
from titlebout.settings.addresses import address


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_USER", "reader")
    monkeypatch.setenv("DB_PASSWORD", "p@ss/w:rd")
    monkeypatch.setenv("DB_HOST", "db.example.org:5432")
    monkeypatch.setenv("DATABASE_URL", "postgresql://reader:p%40ss@db/ferries")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("incoming", "incoming"),
        ("s3://acme/log/*.csv", "s3://acme/log/*.csv"),
        ("${DATABASE_URL}", "postgresql://reader:p%40ss@db/ferries"),
        ("sql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/f", "sql://reader:p%40ss%2Fw%3Ard@db.example.org:5432/f"),
        ("$HOME/$$/${}", "$HOME/$$/${}"),
    ],
)
def test_an_address_is_filled_from_environment_variables(written: str, url: str) -> None:
    found = address(written, "drift.current")

    assert (found.written, found.url) == (written, url)
    assert repr(found) == f"Address(written={written!r})"


@pytest.mark.usefixtures("environment")
def test_secret_values_are_masked_in_any_message() -> None:
    found = address("sql://${DB_USER}:${DB_PASSWORD}@${DB_HOST}/f", "drift.current")
    message = found.masked(
        "reader at p@ss/w:rd, sql://reader:p%40ss%2Fw%3Ard@db.example.org:5432/f?sslpassword=abc&x=1"
    )

    assert message == "${DB_USER} at ${DB_PASSWORD}, sql://${DB_USER}:***@${DB_HOST}/f?sslpassword=***&x=1"


def test_an_unset_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    for name in ("EMPTY", "NOT_THERE"):
        with pytest.raises(ConfigError, match=f"{name} is not set") as caught:
            address(f"sql://${{{name}}}@db/f", "sources.labels")
        assert caught.value.where == "titlebout.toml: sources.labels"


def test_a_password_in_the_file_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="contains a password") as caught:
        address("postgresql://reader:hush@db/ferries", "drift.current")

    assert "hush" not in str(caught.value.to_dict())
