"""Pages: one file that shows its plots, loads nothing, and runs nothing, whatever its texts say."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from titlebout.core.html import Line, figure, line_plot, page, paragraph, table

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


def plot(label: str = "champion") -> str:
    lines = [Line(label, [0.5, 0.4, 0.6], "#123456"), Line("frozen", [0.5, 0.55, 0.7], "#654321", "--")]
    return line_plot(
        ["January", "February", "March"], lines, "log loss", {"promoted": [(0, 1)], "refused": [(0, 2), (1, 0)]}
    )


def whole(text: str = NASTY) -> str:
    rows = table(["month", "verdict"], [[text, text], ["February", "promote"]], [text, "promote"])
    return page(text, text, paragraph(text), rows, figure(plot(), text))


def test_a_plot_is_a_picture_with_readable_text() -> None:
    svg = plot()
    root = ET.fromstring(svg)
    texts = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}

    assert {"January", "February", "March", "log loss", "champion", "frozen", "promoted", "refused"} <= texts


def test_the_same_values_give_the_same_picture() -> None:
    assert plot() == plot()


def test_a_plots_labels_do_nothing_in_it() -> None:
    svg = plot(NASTY)

    assert "<script" not in svg
    assert NASTY in "".join(ET.fromstring(svg).itertext())


def test_plotting_keeps_no_figure_open() -> None:
    plot()
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


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

    assert text.startswith('<!doctype html><html lang="en">')
    assert 'name="viewport"' in text
    assert text.endswith("</html>\n")


def test_a_rows_class_colours_its_last_cell() -> None:
    assert '<td>May</td><td class="keep">lost</td>' in table(["month", "verdict"], [["May", "lost"]], ["keep"])


def test_every_row_has_its_class() -> None:
    with pytest.raises(ValueError, match="shorter"):
        table(["month"], [["May"], ["June"]], ["keep"])
