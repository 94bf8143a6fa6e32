"""Plots of causes, as SVG for the report: the parts of a change, and domains beside their traits.

What belongs here: drawing. What does not: the other plots (plots.py), looks that all plots share (canvas.py).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smc_dagster.findings import canvas
from smc_dagster.findings.canvas import looks

PANELS = {
    "tail_share": "tail labels, % of training documents",
    "noise": "neighbours with another label, %",
    "coverage": "coverage by the pool, %",
}
_COLUMNS = 3


def svg_attribution(rows: pa.Table, words: dict[str, str], total: str, name: str) -> str | None:
    """The parts of the change of one measure (ATTRIBUTION) against the share reached, a panel a series and path.

    Args:
        words: what the legend calls each part.
        total: the part that is drawn as a control is, in grey.

    Returns:
        None where there are no rows.
    """
    panels = list(dict.fromkeys(zip(rows["series"].to_pylist(), rows["path"].to_pylist(), strict=True)))
    if not panels:
        return None
    there = set(rows["part"].to_pylist())
    parts = [one for one in words if one in there]
    look = looks(parts, {total})
    columns = min(_COLUMNS, len(panels))
    count = -(-len(panels) // columns)
    # the legend holds parts that a panel may lack
    with canvas.figure(3.2 * columns, 2.8 * count + 0.6, count, columns, sharey=True) as (figure, axes):
        shown = {}
        for panel in axes.ravel()[len(panels) :]:
            panel.set_visible(False)
        for panel, (series, path) in zip(axes.ravel(), panels, strict=False):
            panel.axhline(0, color=canvas.INK, linewidth=1)
            for i, part in enumerate(parts):
                own = rows.filter(
                    (pc.field("series") == series) & (pc.field("path") == path) & (pc.field("part") == part)
                )
                if own.num_rows:
                    # side by side, so that bars do not cover each other
                    x = own["realised"].to_numpy() * 100 + (i - (len(parts) - 1) / 2) * 0.7
                    style = {**look[part], "markersize": 4, "linewidth": 1.2, "elinewidth": 1}
                    shown[words[part]] = panel.errorbar(x, own["estimate"].to_numpy(), yerr=_ends(own), **style)
            panel.set_title(f"{series}, {path.replace('_', ' ')}", fontsize=9, loc="left")
            panel.set_xlabel("share reached, %")
        for panel in axes[:, 0]:
            panel.set_ylabel("part of the change")
        figure.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=3, handlelength=3.2)
        return canvas.svg(figure, name)


def svg_domains(rows: pa.Table, series: list[str], controls: set[str], name: str) -> str | None:
    """The loss slope of every domain (DOMAIN_SENSITIVITY) against each of its traits; None where none was measured."""
    rows = rows.filter(pc.field("loss_slope").is_valid())
    if rows.num_rows == 0:
        return None
    look = looks(series, controls)
    with canvas.figure(9.6, 3.4, 1, len(PANELS), sharey=True) as (figure, axes):
        for panel, (trait, words) in zip(axes[0], PANELS.items(), strict=True):
            panel.axhline(0, color=canvas.INK, linewidth=1)
            for one in series:
                own = rows.filter((pc.field("series") == one) & pc.field(trait).is_valid())
                style = {**look[one], "linestyle": "none", "markersize": 4.5, "elinewidth": 0.6}
                x, y = own[trait].to_numpy() * 100, own["loss_slope"].to_numpy()
                # a series without points in this panel keeps its place in the legend
                panel.errorbar(x, y, yerr=_ends(own, "loss_slope") if len(x) else None, label=one, **style)
            panel.set_xlabel(words)
        axes[0, 0].set_ylabel("loss slope of tail recall")
        canvas.legend(figure, axes[0, 0])
        return canvas.svg(figure, name)


def _ends(rows: pa.Table, middle: str = "estimate") -> np.ndarray:
    """Lengths of the error bars, [2, n]."""
    ends = np.stack([rows["low"].to_numpy(), rows["high"].to_numpy()])
    return np.asarray(np.abs(ends - rows[middle].to_numpy()))
