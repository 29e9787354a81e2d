"""Pages: one file that shows its plots, loads nothing, and runs nothing, whatever its texts say."""

import re
from html.parser import HTMLParser

import pytest

from titlebout.core.html import Figure, Paragraph, page, table

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><clipPath id="a"/><g clip-path="url(#a)"/></svg>'
NASTY = "<script>alert('1')</script> & \"quotes\" <!-- ]]>"


class Collector(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def whole(text: str = NASTY) -> str:
    rows = table(["month", "verdict"], [[text, text], ["February", "promote"]], [text, "promote"])
    return page(text, text, Paragraph(text), rows, Figure(SVG, text))


def test_texts_from_outside_are_shown_and_do_nothing() -> None:
    found = Collector(whole())

    assert "script" not in found.tags
    assert found.text.count(NASTY) == 7  # title, heading, lead, paragraph, two cells, caption
    assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_a_page_loads_nothing_from_elsewhere() -> None:
    text = whole("a text")
    found = Collector(text)

    assert "default-src 'none'" in text
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert not [value for name, value in found.attributes if name in {"src", "href"} and not str(value).startswith("#")]
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)", text)) <= {f"#{part}" for part in re.findall(r'id="([^"]+)"', text)}


def test_a_page_says_its_language_and_how_wide_it_is() -> None:
    text = whole("a text")

    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert 'name="viewport"' in text
    assert text.endswith("</html>\n")


def test_the_kind_of_a_row_is_the_class_of_its_last_cell() -> None:
    shown = page("t", "l", table(["month", "verdict"], [["May", "lost"]], ["keep"]))
    assert '<td>May</td><td class="keep">lost</td>' in shown


def test_every_row_has_its_kind() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table(["month"], [["May"], ["June"]], ["keep"])
