"""Where sources are: addresses with secrets that only the environment knows, and what may be shown of them."""

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
    """Where a source is; only what was written down is ever shown, never what the environment filled in.

    Attributes
    ----------
    written : str
        As in ``titlebout.toml``.
    url : str
        With the values of the variables.
    filled : tuple of (str, str)
        Those values and what stands for them, the longest first.
    """

    written: str
    url: str = field(repr=False)
    filled: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def masked(self, text: str) -> str:
        """Return a text of another program without what only the environment knows."""
        for value, name in self.filled:
            text = text.replace(value, name)
        return without_passwords(text)


def address(written: str, key: str) -> Address:
    """Fill ``${NAME}`` in from the environment; in the user part of a URL the values are percent-encoded.

    Parameters
    ----------
    written : str
    key : str
        Where it is written, for the reader.

    Raises
    ------
    ConfigError
        If a variable is not set, or a password stands in the file.
    """
    where = f"{SETTINGS_FILE}: {key}"
    password = _PASSWORD.search(written)
    if password and not _VARIABLE.search(password[2]):
        raise ConfigError(
            f"a password stands in {SETTINGS_FILE}",
            where=where,
            why="the file is in git, where everybody who can read the repository finds it",
            fix="change the password, write ${NAME} in its place, and set that variable in the environment",
        )
    values = {name: os.environ.get(name, "") for name in _VARIABLE.findall(written)}  # noqa: TID251 - this module may
    unset = sorted(name for name, value in values.items() if not value)
    if unset:
        raise ConfigError(
            f"the environment variable {unset[0]} is not set",
            where=where,
            fix=f"export {unset[0]} on this machine; in a workflow, set it from a secret in the step's env",
        )
    user, at, rest = written.rpartition("@")
    url = _VARIABLE.sub(lambda found: quote(values[found[1]], safe=""), user) + at
    url += _VARIABLE.sub(lambda found: values[found[1]], rest)
    pairs = {(form, f"${{{name}}}") for name, value in values.items() for form in (value, quote(value, safe=""))}
    return Address(written, url, tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair))))


def without_passwords(text: str) -> str:
    """Return a text with the passwords and signatures of URLs in it replaced by asterisks."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))
