"""Plots of the findings, as SVG for the report and as PNG for Dagster's metadata.

What belongs here: drawing. What does not: any figure that is computed for the first time here (plot_numbers.py), looks
that all plots share (canvas.py).

Series differ by colour, marker and line style.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings import canvas, plot_numbers
from smc_dagster.findings.canvas import COLOURS, MARKERS, STYLES, looks

CURVES = (
    ("rare_recall", "rare", "Rare-case recall"),
    ("confidence", "test", "Average confidence"),
    ("ece", "test", "Expected calibration error"),
)
SHARE_AXIS = "synthetic share asked, %"


def _draw_curves(axes: Any, numbers: pa.Table, look: dict[str, dict[str, Any]]) -> None:
    for name in dict.fromkeys(numbers["series"].to_pylist()):
        part = numbers.filter(pc.field("series") == name)
        # a series of one replicate has no band: its ends are NaN here
        x, mean, low, high = (
            part[column].to_numpy(zero_copy_only=False) for column in ("share", "mean", "low", "high")
        )
        # the measures of the claims are shares: what an interval has beyond 0 and 1 is not drawn
        low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        axes.fill_between(x * 100, low, high, color=look[name]["color"], alpha=0.13, linewidth=0)
        axes.plot(x * 100, mean, label=name, markersize=5, linewidth=1.7, **look[name])


def svg_share_curve(numbers: pa.Table, name: str, title: str, series: list[str], controls: set[str]) -> str:
    """One measure (`plot_numbers.share_curve`) against the synthetic share asked, a line with its band a series."""
    with canvas.figure(7.6, 3.9) as (figure, axes):
        _draw_curves(axes[0, 0], numbers, looks(series, controls))
        removed = " (drop: share of real rows removed)" if controls else ""
        axes[0, 0].set(xlabel=SHARE_AXIS + removed, ylabel=title)
        canvas.legend(figure, axes[0, 0])
        return canvas.svg(figure, name)


def svg_contrasts(rows: pa.Table, name: str, controls: set[str], order: list[str]) -> str | None:
    """Paired differences (`plot_numbers.contrasts`) against the share, a panel a measure; None where there is none."""
    ours, theirs = ([str(one) for one in rows[column].to_pylist()] for column in ("series", "against"))
    pairs = list(dict.fromkeys(zip(ours, theirs, strict=True)))
    if not pairs:
        return None
    look = looks(order, controls)
    with canvas.figure(9.6, 3.4, 1, len(CURVES)) as (figure, axes):
        for panel, (measure, _, title) in zip(axes[0], CURVES, strict=True):
            panel.axhline(0, color=canvas.INK, linewidth=1)
            for i, (one, other) in enumerate(pairs):
                part = rows.filter(
                    (pc.field("series") == one) & (pc.field("against") == other) & (pc.field("measure") == measure)
                )
                # neighbours side by side, so that their bars do not cover each other
                x = part["realised"].to_numpy() * 100 + (i - (len(pairs) - 1) / 2) * 0.9
                middle = part["estimate"].to_numpy()
                ends = np.abs(np.stack([part["low"].to_numpy(), part["high"].to_numpy()]) - middle)
                style = {**look[one], "markersize": 4.5, "linewidth": 1.2, "elinewidth": 1}
                panel.errorbar(x, middle, yerr=ends, label=f"{one} − {other}", **style)
            panel.set_title(title, fontsize=10, loc="left")
            panel.set_xlabel("share reached, %")
        axes[0, 0].set_ylabel("difference")
        canvas.legend(figure, axes[0, 0])
        return canvas.svg(figure, name)


def svg_reliability(numbers: pa.Table, name: str) -> str | None:
    """Reliability (`plot_numbers.reliability_bins`), a panel a series, at 0 % and at the largest share; None without
    numbers.
    """
    series = [str(one) for one in dict.fromkeys(numbers["series"].to_pylist())]
    if not series:
        return None
    columns = min(4, len(series))
    count = -(-len(series) // columns)
    with canvas.figure(2.5 * columns, 2.7 * count + 0.4, count, columns, sharex=True, sharey=True) as (figure, axes):
        for panel in axes.ravel()[len(series) :]:
            panel.set_visible(False)
        for panel, one in zip(axes.ravel(), series, strict=False):
            panel.plot([0, 1], [0, 1], color=canvas.SOFT, linewidth=1)
            own = numbers.filter(pc.field("series") == one)
            top = pc.max(own["share"]).as_py()
            for share in sorted(set(own["share"].to_pylist())):
                k, part = int(share > 0), own.filter(pc.field("share") == share)
                look = {"color": COLOURS[k], "marker": MARKERS[k], "linestyle": STYLES[k]}
                label = "largest share" if share else "0 %"
                x, y = part["confidence"].to_numpy(), part["accuracy"].to_numpy()
                panel.plot(x, y, markersize=3.5, linewidth=1.3, label=label, **look)
            panel.set(title=f"{one}, {top:.0%}", xlim=(0, 1), ylim=(0, 1), aspect="equal")
            panel.title.set_fontsize(9)
        for panel in axes[-1]:
            panel.set_xlabel("confidence")
        for panel in axes[:, 0]:
            panel.set_ylabel("accuracy")
        canvas.legend(figure, axes[0, 0], 2)
        return canvas.svg(figure, name)


def png_share_curve(
    metrics: pa.Table, metric: str = "rare_recall", slice_name: str = "rare", level: float = 0.95
) -> bytes:
    """ARM_METRICS as a PNG: one measure against the share, a line a series."""
    titles = {name: title for name, _, title in CURVES}
    series = list(dict.fromkeys(str(name) for name in metrics["series"].to_pylist()))
    with canvas.figure(7.2, 3.8) as (figure, axes):
        _draw_curves(
            axes[0, 0],
            plot_numbers.share_curve(metrics, series, metric, slice_name, level),
            looks(series, set()),
        )
        axes[0, 0].set(xlabel=SHARE_AXIS, ylabel=titles.get(metric, metric))
        canvas.legend(figure, axes[0, 0])
        return canvas.png(figure)


def png_composition(composition: pa.Table) -> bytes:
    """MIXTURE_COMPOSITION as a PNG: real (copies counted), synthetic and missing rows of each arm, replicates' mean."""
    found = composition.group_by(["arm", "share", "replicate"], use_threads=False).aggregate(
        [(name, "sum") for name in ("rows_real", "rows_repeated", "rows_synthetic", "budget")]
    )
    mean = found.group_by(["arm", "share"], use_threads=False).aggregate(
        [(f"{name}_sum", "mean") for name in ("rows_real", "rows_repeated", "rows_synthetic", "budget")]
    )
    mean = mean.sort_by([("arm", "descending")])
    arms = mean["arm"].to_pylist()
    real, repeated, synthetic, budget = (
        mean[f"{name}_sum_mean"].to_numpy() for name in ("rows_real", "rows_repeated", "rows_synthetic", "budget")
    )
    real = real + np.nan_to_num(repeated)
    with canvas.figure(7.2, 1.2 + 0.24 * len(arms)) as (figure, axes):
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
        canvas.legend(figure, panel, 3)
        return canvas.png(figure)


def png_training_curves(points: list[tuple[int, int, float]], of: str, unit: str) -> bytes:
    """Loss by step as a PNG, from (number, step, loss in nats): a line a number, called `of` it, of one `unit`."""
    with canvas.figure(7.2, 3) as (figure, axes):
        for number in sorted({one[0] for one in points}):
            steps, losses = zip(*(one[1:] for one in points if one[0] == number), strict=True)
            look = {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number % len(STYLES)]}
            axes[0, 0].plot(steps, losses, label=f"{of} {number}", **look)
        axes[0, 0].set(xlabel="step", ylabel=f"loss, nats {unit}")
        canvas.legend(figure, axes[0, 0])
        return canvas.png(figure)


def png_reliability(numbers: pa.Table) -> bytes:
    """Reliability of an arm (`plot_numbers.arm_reliability`) as a PNG, a panel a slice."""
    slices = list(dict.fromkeys(str(one) for one in numbers["slice"].to_pylist())) or ["test"]
    with canvas.figure(2.5 * len(slices), 2.8, 1, len(slices), sharex=True, sharey=True) as (figure, axes):
        for k, (panel, one) in enumerate(zip(axes[0], slices, strict=True)):
            panel.plot([0, 1], [0, 1], color=canvas.SOFT, linewidth=1)
            part = numbers.filter(pc.field("slice") == one)
            look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
            x, y = part["confidence"].to_numpy(), part["accuracy"].to_numpy()
            panel.plot(x, y, markersize=3.5, linewidth=1.3, **look)
            panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence")
            panel.set_title(f"{one}, n {pc.sum(part['predictions']).as_py() or 0:,}", fontsize=9)
        axes[0, 0].set_ylabel("accuracy")
        return canvas.png(figure)


def png_pool_drift(ratios: list[tuple[str, float]]) -> bytes:
    """Score over threshold of each column of a pool, as a PNG; from 1 on a column counts as drifted."""
    columns, values = [one for one, _ in ratios], [value for _, value in ratios]
    with canvas.figure(7.2, 0.9 + 0.32 * len(ratios)) as (figure, axes):
        panel, y = axes[0, 0], np.arange(len(ratios))[::-1]
        panel.barh(y, values, color=[COLOURS[1] if value >= 1 else COLOURS[0] for value in values], height=0.6)
        panel.axvline(1, color=canvas.INK, linewidth=1)
        panel.set_yticks(y, columns)
        panel.set_xlabel("score / threshold")
        panel.grid(visible=False, axis="y")
        return canvas.png(figure)


def png_day_drift(numbers: pa.Table) -> bytes:
    """Score over limit of each column, day by day (DAY_DRIFT); from 1 on a column may count as drifted."""
    columns = list(dict.fromkeys(numbers["column"].to_pylist()))
    days = sorted(set(numbers["day"].to_pylist()))
    look = looks(columns, set())
    with canvas.figure(7.6, 3.2) as (figure, axes):
        for column in columns:
            part = numbers.filter(pc.field("column") == column).sort_by("day")
            x = [days.index(one) for one in part["day"].to_pylist()]
            axes[0, 0].plot(x, pc.divide(part["score"], part["limit"]).to_pylist(), label=column, **look[column])
        axes[0, 0].axhline(1, color=canvas.INK, linewidth=1)
        axes[0, 0].set_xticks(range(len(days)), days, rotation=30, ha="right")
        axes[0, 0].set(ylabel="score / limit")
        canvas.legend(figure, axes[0, 0], columns=5)
        return canvas.png(figure)
