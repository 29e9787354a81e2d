"""Figures: reproducible bytes, searchable text, escaped labels."""

from xml.etree import ElementTree as ET

from titlebout.core.figures import Line, line_plot

NASTY = "<script>alert('1')</script> & \"quotes\" <!-- ]]>"


def plot(label: str = "champion") -> str:
    lines = [Line(label, [0.5, 0.4, 0.6], "#123456"), Line("frozen", [0.5, 0.55, 0.7], "#654321", "--")]
    return line_plot(
        ["January", "February", "March"], lines, "log loss", {"promoted": [(0, 1)], "refused": [(0, 2), (1, 0)]}
    )


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


def test_the_solid_line_is_drawn_over_the_others() -> None:
    lines = [Line("loop", [1, 2], "#0969da"), Line("never", [1, 2], "#cf222e", "--")]
    for given in (lines, lines[::-1]):
        svg = line_plot(["a", "b"], given, "loss", {})
        first = {color: svg.index(f"stroke: {color}") for color in ("#0969da", "#cf222e")}
        assert first["#cf222e"] < first["#0969da"]
