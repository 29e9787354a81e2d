"""Self-contained HTML pages with SVG plots: one file, no scripts, no external resources."""

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEGEND_WIDTH = 100  # characters per legend row, below the plot

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d0d7de; --soft: #57606a; --wash: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #9198a1; --wash: #161b22; }
  figure { background: #ffffff; border-radius: 8px; padding: 8px; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .25rem; }
p.lead { color: var(--soft); margin-top: 0; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { background: var(--wash); }
.promote { color: #1a7f37; font-weight: 600; } .keep, .data_refused { color: #cf222e; font-weight: 600; } .inconclusive { color: #9a6700; font-weight: 600; }
pre { background: var(--wash); padding: .75rem; overflow-x: auto; border-radius: 6px; }
"""


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    label : str
        Legend text.
    values : sequence of float
        One value per position on the x axis.
    color, style : str
        Matplotlib color and line style.
    """

    label: str
    values: Sequence[float]
    color: str
    style: str = "-"


def line_plot(
    x: Sequence[str], lines: Sequence[Line], ylabel: str, markers: Mapping[str, Sequence[tuple[int, int]]]
) -> str:
    """Return an SVG plot of several lines over the same x positions.

    Parameters
    ----------
    x : sequence of str
        Tick labels of the x axis.
    lines : sequence of Line
        Lines to draw, each with one value per tick label.
    ylabel : str
        Label of the y axis.
    markers : mapping of str to sequence of (int, int)
        Legend text of each marker symbol (first "^", then "x") mapped to the points where it is drawn, as
        (index of the line, index of the x position).
    """
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    # A fixed hash salt makes the output reproducible; text stays text, so that it is searchable and accessible.
    with mpl.rc_context({"svg.hashsalt": "titlebout", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(9, 4.8), layout="constrained")
        for line in lines:
            axes.plot(range(len(x)), line.values, line.style, color=line.color, label=line.label, linewidth=2)
        for (label, points), symbol in zip(markers.items(), "^x", strict=False):
            for line_index, position in points:
                line = lines[line_index]
                axes.scatter(position, line.values[position], marker=symbol, s=70, color=line.color, zorder=3)
            # Gray in the legend when the marker is drawn on lines of several colors.
            legend_color = lines[0].color if len({line_index for line_index, _ in points}) < 2 else "#57606a"
            axes.scatter([], [], marker=symbol, s=70, color=legend_color, label=label)
        axes.set_xticks(range(len(x)), x)
        axes.set_ylabel(ylabel)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
        columns = min(max(LEGEND_WIDTH // (longest + 6), 1), 4)
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]  # without the XML declaration, which is not valid inside HTML


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str]) -> str:
    """Return an HTML table with escaped cells; `classes` holds the CSS class of each row's last cell."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headers)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[:-1])
        + f'<td class="{html.escape(css_class)}">{html.escape(row[-1])}</td></tr>'
        for row, css_class in zip(rows, classes, strict=True)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def page(title: str, lead: str, *parts: str) -> str:
    """Return a complete HTML document; `title` and `lead` are escaped, `parts` must be valid HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>{"".join(parts)}</body></html>\n'
    )


def paragraph(text: str) -> str:
    """Return an HTML paragraph with escaped text."""
    return f"<p>{html.escape(text)}</p>"


def figure(svg: str, caption: str) -> str:
    """Return an HTML figure: an SVG image with an escaped caption."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"
