"""YAML that reads back as it was written."""

from collections.abc import Mapping
from typing import Any

import yaml

# PyYAML counts these as line ends and folds them into a space, unless the text is in double quotes, where it escapes them.
_LINE_ENDS = frozenset("\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    pass


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _LINE_ENDS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(document: Mapping[str, Any]) -> str:
    """Return YAML with the keys in their order and text in its own script."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
