"""HTML pages: self-contained, without external resources and without effects of untrusted text."""

import re
from html.parser import HTMLParser

import pytest

from titlebout.core.html import Figure, Heading, Headline, Link, Paragraph, page, table

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><clipPath id="a"/><g clip-path="url(#a)"/></svg>'
NASTY = "<script>alert('1')</script> & \"quotes\" <!-- ]]>"


class Collector(HTMLParser):
    """Tags, attributes and text as a browser parses them."""

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


def full_page(text: str = NASTY) -> str:
    rows = table(["month", "verdict"], [[text, text], ["February", "promote"]], [text, "promote"])
    return page(text, text, Headline(text), Heading(text), Paragraph(text), rows, Figure(SVG, text, SVG))


def test_untrusted_text_is_shown_and_has_no_effect() -> None:
    parsed = Collector(full_page())

    assert "script" not in parsed.tags
    assert parsed.text.count(NASTY) == 9  # title, heading, lead, headline, section, paragraph, two cells, caption
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]


def test_a_page_loads_no_external_resources() -> None:
    text = full_page("a text")
    parsed = Collector(text)

    assert "default-src 'none'" in text
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert not [
        value for name, value in parsed.attributes if name in {"src", "href"} and not str(value).startswith("#")
    ]
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)", text)) <= {f"#{part}" for part in re.findall(r'id="([^"]+)"', text)}


def test_a_page_declares_its_language_and_viewport() -> None:
    text = full_page("a text")

    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert 'name="viewport"' in text
    assert text.endswith("</html>\n")


def test_the_kind_of_a_row_is_the_class_of_its_last_cell() -> None:
    document = page("t", "l", table(["month", "verdict"], [["May", "lost"]], ["keep"]))
    assert '<td data-label="month">May</td><td class="keep" data-label="verdict">lost</td>' in document


def test_the_kind_of_a_row_can_be_the_class_of_another_cell() -> None:
    document = page("t", "l", table(["verdict", "why"], [["keep", "-"]], ["keep"], "verdict"))
    assert '<td class="keep" data-label="verdict">keep</td><td class="n none" data-label="why">-</td>' in document


def test_long_text_in_a_table_wraps() -> None:
    document = page("t", "l", table(["why"], [["significantly worse than the champion"], ["no"]]))
    assert document.count('<td class="t"') == 2


def test_a_figure_has_another_form_for_a_narrow_screen() -> None:
    document = page("t", "l", Figure(SVG, "c", SVG))
    assert [part[:15] for part in document.split("<svg ")[1:]] == ['class="broad" x', 'class="narrow" ']


def test_a_missing_row_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table(["month"], [["May"], ["June"]], ["keep"])


def test_columns_of_numbers_are_aligned_at_the_right() -> None:
    text = page("t", "l", table(["month", "rows", "change"], [["May", "1,234", "-3.5%"], ["June", "-", "+12 %"]]))

    assert '<th>month</th><th class="n">rows</th><th class="n">change</th>' in text
    cells = re.findall(r'<td(?: class="(.*?)")? data-label="(.*?)">', text)
    assert cells[3:] == [("", "month"), ("n none", "rows"), ("n", "change")]


def test_a_link_leads_to_a_file_beside_the_page() -> None:
    text = page("t", "l", Link("More & more", 'below/a"b.html'))

    assert '<p><a href="below/a%22b.html">More &amp; more</a></p>' in text
