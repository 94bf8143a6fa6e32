"""The published claims, as data: what the study's measurements are compared with.

What belongs here: the text of each claim, the figure in it, and where this project measures it. What does not: any
use of a figure as a default, a prior or a target. Nothing outside the verdicts and the report may read these
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["relative", "absolute", "share"]


@dataclass(frozen=True)
class Claim:
    """One published claim.

    Attributes:
        measure: metric it is measured by (a metric of `arm_metrics`, or `onset`).
        slice: evaluation slice on which it is measured.
        kind: `relative` change, `absolute` change, or a `share`.
        text: the claim in words.
        claimed: its figure (the middle of the range for the onset).
        low, high: the range claimed; both equal `claimed` where a single figure was published.
    """

    measure: str
    slice: str
    kind: Kind
    text: str
    claimed: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """Sign of the claimed effect: -1 a loss, +1 a rise."""
        return -1 if self.claimed < 0 else 1


RARE_RECALL = Claim(
    "rare_recall", "rare", "relative", "rare-case recall falls by 21 % past the onset", -0.21, -0.21, -0.21
)
CONFIDENCE = Claim(
    "confidence", "test", "relative", "average confidence rises by 13 % past the onset", 0.13, 0.13, 0.13
)
ECE = Claim("ece", "test", "absolute", "expected calibration error rises by 0.07 past the onset", 0.07, 0.07, 0.07)
ONSET = Claim("onset", "rare", "share", "decline sets in at 38-42 % synthetic share", 0.40, 0.38, 0.42)

EFFECT_CLAIMS = (RARE_RECALL, CONFIDENCE, ECE)
CLAIMS = (*EFFECT_CLAIMS, ONSET)
BY_MEASURE = {claim.measure: claim for claim in CLAIMS}
