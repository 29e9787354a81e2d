"""YAML keeps text as it is, whatever PyYAML takes for the end of a line."""

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from titlebout.core.yaml_text import to_yaml

# What YAML can hold at all: printable characters (YAML 1.1, section 5.1).
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")) | st.sampled_from("\n\t\x85"))


@example(text="\x85")
@example(text="a\u2028b")
@given(text=PRINTABLE.filter(lambda text: "\ufeff" not in text and not any(ord(c) & 0xFFFF >= 0xFFFE for c in text)))
def test_text_reads_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(to_yaml({text: [text]})) == {text: [text]}


def test_text_stays_in_its_own_script_and_keys_in_their_order() -> None:
    assert to_yaml({"z": "Ålesund", "a": 1}) == "z: Ålesund\na: 1\n"
