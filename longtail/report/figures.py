"""How the figures look, and how they become text: SVG whose letters the browser draws.

Letters stay letters, so names in any script are shown with the reader's own fonts and need none of ours.
"""

import base64
import colorsys
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtail.report.names import LONGEST, columns, short

BLUE, ORANGE, GREY, INK = "#2563eb", "#f59e0b", "#94a3b8", "#1e293b"
LINES = (BLUE, "#dc2626", "#059669", ORANGE, "#7c3aed", "#0891b2", "#be185d", "#65a30d")

# A panel with more rows than this does not fit a screen.
MANY_ROWS = 15

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#cbd5e1",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": "#e2e8f0",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "longtail",  # element names from a fixed salt, not from a random one: the same bytes every time
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5 and $10"
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "ytick.left": False,
}


PIXELS = 96  # an inch, on a page


@dataclass(frozen=True)
class Picture:
    """A figure inside the page: its data address, its natural width in CSS pixels, and its description."""

    address: str
    width: int
    description: str


@contextmanager
def style() -> Iterator[None]:
    """Within it figures have this look, whatever the reader's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        # The browser draws the letters; that our measuring font lacks a glyph does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def picture(figure: Figure, description: str) -> Picture:
    """Write `figure` as SVG without date or version in it."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", dpi=180, metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
    )
    return _inside(figure, "svg+xml", buffer.getvalue(), description)


def raster(figure: Figure, content: bytes, description: str) -> Picture:
    """`figure`, written before as a PNG: of photographs an SVG would be larger."""
    return _inside(figure, "png", content, description)


def _inside(figure: Figure, kind: str, content: bytes, description: str) -> Picture:
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Picture(address, round(figure.get_figwidth() * PIXELS), description)


def label_inches(names: Sequence[str], size: float = 9) -> float:
    """Room for the longest of `names` at `size` points, in inches (0.62 em a column: DejaVu Sans, capitals)."""
    return 0.62 * size / 72 * max((columns(name) for name in names), default=0)


def row_panels(
    names: Sequence[str], titles: Sequence[str], *, row: float, longest: int = LONGEST, lines: int = 1
) -> tuple[Figure, list[Axes]]:
    """Panels side by side over one vertical axis of `names`, the first on top; each row is `row` inches high, and has
    its name in so many `lines` of at most `longest` columns.

    Many rows get the ticks of the horizontal axis above them too.
    """
    width = 11.0
    labels = [short(name, lines * longest) for name in names]
    if lines > 1:  # of wide characters, of two columns each, half as many
        widths = [longest if columns(label) <= len(label) else longest // 2 for label in labels]
        labels = [
            "\n".join(wrap(label, width, max_lines=lines, placeholder="…"))
            for label, width in zip(labels, widths, strict=True)
        ]
    many = len(names) > MANY_ROWS
    left, right, bottom = label_inches([line for label in labels for line in label.split("\n")]) + 0.25, 0.35, 0.5
    top = 0.4 + 0.17 * max(title.count("\n") for title in titles) + 0.2 * many
    height = top + bottom + row * max(len(names), 2)
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, wspace=0.2)
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="x", labeltop=many)
    axes[0].set_yticks(range(len(names)), labels)
    axes[0].set_ylim(max(len(names), 2) - 0.5, -0.5)
    return figure, list(axes)


def colours(number: int) -> list[str]:
    """As many colours as asked, told apart as well as can be; beyond 20 they need labels beside them."""
    if number <= 20:
        table = mpl.colormaps["tab10" if number <= 10 else "tab20"]
        return [_hex(table(i)[:3]) for i in range(number)]
    # The golden ratio keeps neighbours in the order far apart in hue; lightness alternates.
    return [_hex(colorsys.hls_to_rgb(i * 0.618034 % 1, (0.35, 0.5, 0.65)[i % 3], 0.7)) for i in range(number)]


def shade(colour: str, amount: float) -> str:
    """`colour` mixed with white (`amount` > 0, at most 1) or with black (`amount` < 0, at least −1)."""
    target = 1.0 if amount > 0 else 0.0
    rgb = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _hex([part + (target - part) * abs(amount) for part in rgb])


def _hex(rgb: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
