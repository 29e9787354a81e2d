"""Addresses of data sources: secrets are filled in from environment variables and never shown."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote

from titlebout.core.errors import ConfigError

SETTINGS_FILE = "titlebout.toml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PASSWORD = re.compile(r"(://[^/@:\s'\"]*:)([^@\s'\"]+)@")
_SECRET_OPTION = re.compile(r"([?&][\w-]*(?:password|secret|token|sig|signature|key)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Address of a data source, as configured and with the values of environment variables.

    Attributes
    ----------
    written : str
        Address as configured in ``titlebout.toml``, with ``${NAME}`` for secrets; the only form to show.
    url : str
        Address with the values of the environment variables.
    filled : tuple of (str, str)
        Each value and the placeholder ``${NAME}`` that replaces it in messages, the longest value first.
    """

    written: str
    url: str = field(repr=False)
    filled: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def masked(self, text: str) -> str:
        """Return a message of another program with secret values replaced by their placeholders."""
        for value, name in self.filled:
            text = text.replace(value, name)
        return without_passwords(text)


def address(written: str, key: str) -> Address:
    """Replace each ``${NAME}`` in an address with the environment variable NAME.

    Parameters
    ----------
    written : str
        Address as configured. Values in the user and password part of a URL are percent-encoded.
    key : str
        Configuration key of the address, for error messages.

    Raises
    ------
    ConfigError
        If an environment variable is not set, or the file contains a password.
    """
    where = f"{SETTINGS_FILE}: {key}"
    password = _PASSWORD.search(written)
    if password and not _VARIABLE.search(password[2]):
        raise ConfigError(
            f"{SETTINGS_FILE} contains a password",
            where=where,
            why="the file is tracked by git, so everyone with read access to the repository can see the password",
            fix="change the password, replace it with ${NAME} in the file, and set the environment variable NAME",
        )
    values = {name: os.environ.get(name, "") for name in _VARIABLE.findall(written)}  # noqa: TID251 - this module may
    unset = sorted(name for name, value in values.items() if not value)
    if unset:
        raise ConfigError(
            f"the environment variable {unset[0]} is not set",
            where=where,
            fix=f"export {unset[0]} in your shell; in a workflow, set it from a secret in the step's env",
        )
    user, at, rest = written.rpartition("@")
    url = _VARIABLE.sub(lambda found: quote(values[found[1]], safe=""), user) + at
    url += _VARIABLE.sub(lambda found: values[found[1]], rest)
    pairs = {(form, f"${{{name}}}") for name, value in values.items() for form in (value, quote(value, safe=""))}
    return Address(written, url, tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair))))


def without_passwords(text: str) -> str:
    """Return a text with the passwords and signatures of its URLs replaced by asterisks."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))
