"""HTML pages: self-contained plots, no external resources, and no effect of untrusted text."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from titlebout.core.html import Line, figure, line_plot, page, paragraph, table

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


def plot(label: str = "champion") -> str:
    lines = [Line(label, [0.5, 0.4, 0.6], "#123456"), Line("frozen", [0.5, 0.55, 0.7], "#654321", "--")]
    return line_plot(
        ["January", "February", "March"], lines, "log loss", {"promoted": [(0, 1)], "refused": [(0, 2), (1, 0)]}
    )


def full_page(text: str = NASTY) -> str:
    rows = table(["month", "verdict"], [[text, text], ["February", "promote"]], [text, "promote"])
    return page(text, text, paragraph(text), rows, figure(plot(), text))


def test_a_plot_keeps_its_labels_as_text() -> None:
    svg = plot()
    root = ET.fromstring(svg)
    texts = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}

    assert {"January", "February", "March", "log loss", "champion", "frozen", "promoted", "refused"} <= texts


def test_the_same_values_give_the_same_plot() -> None:
    assert plot() == plot()


def test_labels_of_a_plot_are_escaped() -> None:
    svg = plot(NASTY)

    assert "<script" not in svg
    assert NASTY in "".join(ET.fromstring(svg).itertext())


def test_plotting_keeps_no_figure_open() -> None:
    plot()
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_untrusted_text_is_shown_and_has_no_effect() -> None:
    parsed = Collector(full_page())

    assert "script" not in parsed.tags
    assert parsed.text.count(NASTY) == 7  # title, heading, lead, paragraph, two cells, caption
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

    assert text.startswith('<!doctype html><html lang="en">')
    assert 'name="viewport"' in text
    assert text.endswith("</html>\n")


def test_the_class_of_a_row_applies_to_its_last_cell() -> None:
    assert '<td>May</td><td class="keep">lost</td>' in table(["month", "verdict"], [["May", "lost"]], ["keep"])


def test_a_missing_row_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table(["month"], [["May"], ["June"]], ["keep"])
