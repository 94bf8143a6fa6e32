"""Plots of the findings, as SVG for the report and as PNG for Dagster's metadata.

What belongs here: drawing. What does not: any figure that is computed for the first time here, except the interval
over replicates of a curve.

Series differ by colour (Okabe & Ito's palette), marker and line style. The same input gives the same bytes: ids are
salted with a constant and no date is written. Names are text: mathematical markup in them is not read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.evaluation.reliability import reliability
from smc_dagster.findings.collect import Evidence
from smc_dagster.tables import ALL_DOMAINS

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7A4FBF")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)), (0, (7, 2)))
CONTROL = {"color": "#555555", "marker": "x", "linestyle": ":"}
_INK, _GRID = "#222222", "#dddddd"
_RC = {
    "svg.hashsalt": "smc",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
CURVES = (
    ("rare_recall", "rare", "Rare-case recall"),
    ("confidence", "test", "Average confidence"),
    ("ece", "test", "Expected calibration error"),
)


@contextmanager
def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes [rows, columns], free of global state but for settings that are put back."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def _svg(figure: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def looks(series: list[str], controls: set[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style by series; controls are grey and dotted."""
    found: dict[str, dict[str, Any]] = {}
    for name in series:
        i = sum(one not in controls for one in found)
        k = i % len(COLOURS)
        style = {"color": COLOURS[k], "marker": MARKERS[k], "linestyle": STYLES[k]}
        found[name] = dict(CONTROL) if name in controls else style
    return found


def curve(metrics: pa.Table, series: str, metric: str, slice_name: str, level: float) -> dict[str, np.ndarray]:
    """Mean over replicates and its t interval, by share.

    Returns:
        `share`, `mean`, `low`, `high`, each [shares]; the interval is NaN where there is one replicate.
    """
    from scipy.stats import t

    rows = metrics.filter(
        (pc.field("series") == series)
        & (pc.field("metric") == metric)
        & (pc.field("slice") == slice_name)
        & (pc.field("domain") == ALL_DOMAINS)
        & pc.field("value").is_valid()
    )
    shares, values = rows["share"].to_numpy(), rows["value"].to_numpy()
    found = np.unique(shares)
    by_share = [np.sort(values[shares == one]) for one in found]
    mean = np.array([one.mean() for one in by_share])
    half = np.array(
        [
            t.ppf((1 + level) / 2, len(one) - 1) * one.std(ddof=1) / np.sqrt(len(one)) if len(one) > 1 else np.nan
            for one in by_share
        ]
    )
    return {"share": found, "mean": mean, "low": mean - half, "high": mean + half}


def _draw_curve(axes: Any, found: dict[str, np.ndarray], name: str, look: dict[str, Any]) -> None:
    x = found["share"] * 100
    axes.fill_between(x, found["low"], found["high"], color=look["color"], alpha=0.13, linewidth=0)
    axes.plot(x, found["mean"], label=name, markersize=5, linewidth=1.7, **look)


def svg_share_curve(
    metrics: pa.Table, metric: str, slice_name: str, title: str, series: list[str], controls: set[str], level: float
) -> str:
    """One measure against the synthetic share asked, a line with its band for each series."""
    with _figure(7.6, 3.9) as (figure, axes):
        look = looks(series, controls)
        for name in series:
            found = curve(metrics, name, metric, slice_name, level)
            if len(found["share"]):
                _draw_curve(axes[0, 0], found, name, look[name])
        axes[0, 0].set(xlabel="synthetic share asked, % (drop: share of real rows removed)", ylabel=title)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=3.2)
        return _svg(figure)


def svg_contrasts(effects: pa.Table, kind: str, controls: set[str], order: list[str]) -> str | None:
    """Paired differences of one kind of contrast against the share, a panel a measure; None where there is none."""
    rows = effects.filter(pc.field("contrast") == kind)
    ours, theirs = ([str(name) for name in rows[column].to_pylist()] for column in ("series", "against"))
    pairs = list(dict.fromkeys(zip(ours, theirs, strict=True)))
    if not pairs:
        return None
    look = looks(order, controls)
    with _figure(9.6, 3.4, 1, len(CURVES)) as (figure, axes):
        for panel, (measure, _, title) in zip(axes[0], CURVES, strict=True):
            panel.axhline(0, color=_INK, linewidth=1)
            for i, (one, other) in enumerate(pairs):
                part = rows.filter(
                    (pc.field("series") == one) & (pc.field("against") == other) & (pc.field("measure") == measure)
                )
                # neighbours side by side, so that their bars do not cover each other
                x = part["share"].to_numpy() * 100 + (i - (len(pairs) - 1) / 2) * 0.9
                middle = part["estimate"].to_numpy()
                ends = np.abs(np.stack([part["low"].to_numpy(), part["high"].to_numpy()]) - middle)
                style = {**look[one], "markersize": 4.5, "linewidth": 1.2, "elinewidth": 1}
                panel.errorbar(x, middle, yerr=ends, label=f"{one} − {other}", **style)
            panel.set_title(title, fontsize=10, loc="left")
            panel.set_xlabel("share, %")
        axes[0, 0].set_ylabel("difference")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=3.2)
        return _svg(figure)


def svg_reliability(evidence: Evidence, series: list[str], bins: int) -> str | None:
    """Reliability on slice `test`, a panel a series, at 0 % and at the largest share; replicates pooled."""
    pairs = [(name, evidence.of_series(name)[0], evidence.largest(name)) for name in series if evidence.of_series(name)]
    shown = [(name, base, top) for name, base, top in pairs if top is not None]
    if not shown or "test" not in evidence.documents:
        return None
    columns = min(4, len(shown))
    count = -(-len(shown) // columns)
    with _figure(2.5 * columns, 2.7 * count + 0.4, count, columns, sharex=True, sharey=True) as (figure, axes):
        for panel in axes.ravel()[len(shown) :]:
            panel.set_visible(False)
        for panel, (name, base, top) in zip(axes.ravel(), shown, strict=False):
            panel.plot([0, 1], [0, 1], color="#888888", linewidth=1)
            for arm, colour, marker, style, label in (
                (base, "#0072B2", "o", "-", "0 %"),
                (top, "#D55E00", "s", "--", "largest share"),
            ):
                outcome = evidence.outcomes.get((arm.key, "test"))
                if outcome is not None:
                    found = reliability(outcome.confidence.ravel(), outcome.correct.ravel(), bins)
                    look = {"color": colour, "marker": marker, "linestyle": style}
                    panel.plot(found.confidence, found.accuracy, markersize=3.5, linewidth=1.3, label=label, **look)
            panel.set(title=f"{name}, {top.share:.0%}", xlim=(0, 1), ylim=(0, 1), aspect="equal")
            panel.title.set_fontsize(9)
        for panel in axes[-1]:
            panel.set_xlabel("confidence")
        for panel in axes[:, 0]:
            panel.set_ylabel("accuracy")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return _svg(figure)


def png_share_curve(
    metrics: pa.Table, metric: str = "rare_recall", slice_name: str = "rare", level: float = 0.95
) -> bytes:
    """ARM_METRICS as a PNG: one measure against the share, a line a series."""
    titles = {name: title for name, _, title in CURVES}
    series = list(dict.fromkeys(str(name) for name in metrics["series"].to_pylist()))
    with _figure(7.2, 3.8) as (figure, axes):
        look = looks(series, set())
        for name in series:
            found = curve(metrics, name, metric, slice_name, level)
            if len(found["share"]):
                _draw_curve(axes[0, 0], found, name, look[name])
        axes[0, 0].set(xlabel="synthetic share asked, %", ylabel=titles.get(metric, metric))
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handlelength=3.2)
        return _png(figure)


def png_composition(composition: pa.Table) -> bytes:
    """MIXTURE_COMPOSITION as a PNG: real, synthetic and missing rows of each arm, mean over replicates."""
    found = composition.group_by(["arm", "share", "replicate"], use_threads=False).aggregate(
        [("rows_real", "sum"), ("rows_synthetic", "sum"), ("budget", "sum")]
    )
    mean = found.group_by(["arm", "share"], use_threads=False).aggregate(
        [("rows_real_sum", "mean"), ("rows_synthetic_sum", "mean"), ("budget_sum", "mean")]
    )
    mean = mean.sort_by([("arm", "descending")])
    arms = mean["arm"].to_pylist()
    real, synthetic, budget = (
        mean[f"{name}_sum_mean"].to_numpy() for name in ("rows_real", "rows_synthetic", "budget")
    )
    with _figure(7.2, 1.2 + 0.24 * len(arms)) as (figure, axes):
        panel, y = axes[0, 0], np.arange(len(arms))
        panel.barh(y, real, color="#0072B2", label="real")
        panel.barh(
            y, synthetic, left=real, color="#E69F00", hatch="//", edgecolor="white", linewidth=0, label="synthetic"
        )
        empty = np.maximum(budget - real - synthetic, 0)
        panel.barh(y, empty, left=real + synthetic, color="#eeeeee", edgecolor="#999999", linewidth=0.5, label="empty")
        panel.set_yticks(y, arms)
        panel.set_xlabel("rows")
        panel.grid(visible=False, axis="y")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return _png(figure)


def png_training_curves(points: list[tuple[int, int, float]]) -> bytes:
    """Loss of a token by step, a line a generation, from (generation, step, loss)."""
    with _figure(7.2, 3) as (figure, axes):
        for number in sorted({one[0] for one in points}):
            steps, losses = zip(*(one[1:] for one in points if one[0] == number), strict=True)
            look = {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number % len(STYLES)]}
            axes[0, 0].plot(steps, losses, label=f"generation {number}", **look)
        axes[0, 0].set(xlabel="step", ylabel="loss, nats a token")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
        return _png(figure)
