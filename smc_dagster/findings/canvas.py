"""What plots are drawn on: figures free of global state, the palette, and the way out as SVG or PNG.

What belongs here: looks. What does not: what is drawn (plots.py), or the colours behind the palette's names (the
stylesheet of the report).

A plot of the report is SVG inside the page, so it takes part in the page's colours: each colour of the palette becomes
a variable of the stylesheet, which has one value for paper, one for light and one for dark screens. No style is left
in the markup, so the page's security policy needs to allow none.

The same input gives the same bytes: ids are salted with a constant and no date is written. Names are text:
mathematical markup in them is not read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

# after Okabe & Ito, the two lightest darkened to a contrast of 3 to 1 on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C0629A", "#B8860B", "#3096C8", "#7A4FBF")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)), (0, (7, 2)))
CONTROL = {"color": "#555555", "marker": "x", "linestyle": ":"}
INK, SOFT, GRID = "#222222", "#888888", "#dddddd"
VARIABLES = {
    **{colour.lower(): f"var(--series-{i})" for i, colour in enumerate(COLOURS, start=1)},
    CONTROL["color"]: "var(--control)",
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    GRID: "var(--line)",
}
_RC = {
    "svg.hashsalt": "smc",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure of so many inches and its axes [rows, columns]; settings are put back when the block ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        made = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        yield made, made.subplots(rows, columns, squeeze=False, **options)


def looks(series: list[str], controls: set[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style by series; controls are grey and dotted."""
    found: dict[str, dict[str, Any]] = {}
    for name in series:
        i = sum(one not in controls for one in found)
        k = i % len(COLOURS)
        style = {"color": COLOURS[k], "marker": MARKERS[k], "linestyle": STYLES[k]}
        found[name] = dict(CONTROL) if name in controls else style
    return found


def legend(made: Any, axes: Any, columns: int = 4) -> None:
    """The legend of these axes above the figure."""
    made.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns, handlelength=3.2)


def svg(made: Any, name: str) -> str:
    """A figure as an `svg` element to be put into the page.

    Args:
        name: unlike that of any other plot of the page; ids start with it.

    Raises:
        ValueError: a colour is not of the palette, so that it would not change with the page's.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(made)
    out = io.StringIO()
    made.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, facecolor="none")
    # names may hold what XML cannot; our own plot is no foreign document
    root = ElementTree.fromstring(_NOT_XML.sub("\ufffd", out.getvalue()))  # noqa: S314
    return _inline(root, name)


def png(made: Any) -> bytes:
    """A figure as a PNG on white, for Dagster's metadata."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(made)
    out = io.BytesIO()
    made.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def _inline(root: ElementTree.Element, name: str) -> str:
    used = set(re.findall(r"#([\w-]+)", " ".join(_references(root))))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        for key, value in _presentation(element.attrib.pop("style", "")):
            element.set(key, value)
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        if _LINK in element.attrib:
            element.set("href", f"#{name}-{element.attrib.pop(_LINK)[1:]}")
        if "clip-path" in element.attrib:
            element.set("clip-path", f"url(#{name}-{element.attrib['clip-path'][5:-1]})")
        element.tag = element.tag.removeprefix(_SVG)
    attributes = {"class": "plot", "viewBox": root.attrib["viewBox"], "aria-hidden": "true"}
    root.attrib.clear()
    root.attrib.update(attributes)
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode").strip())


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        yield element.get(_LINK, "")
        yield element.get("clip-path", "")


def _presentation(style: str) -> Iterator[tuple[str, str]]:
    """The declarations of a style as attributes; colours become variables, and the font is left to the page."""
    for declaration in filter(None, map(str.strip, style.split(";"))):
        key, value = (one.strip() for one in declaration.split(":", 1))
        if key == "font":
            size = re.search(r"[\d.]+px", value)
            yield "font-size", size.group() if size else "10px"
        elif key in ("fill", "stroke") and value != "none":
            if value.lower() not in VARIABLES:
                raise ValueError(f"colour {value} is not of the palette")
            yield key, VARIABLES[value.lower()]
        else:
            yield key, value
