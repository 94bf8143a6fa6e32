"""A training run in a process of its own, for tests that kill it: `python language_model_run.py FOLDER [--slow]`.

What belongs here: the run. What does not: the killing (test_language_model.py).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pyarrow as pa

from smc_dagster.study.language_model import LanguageModel
from smc_dagster.synthesis.language_model.generations import make_generation
from smc_dagster.synthesis.language_model.sample import Diversity, sample

SECTION = LanguageModel(
    width=32, layers=2, heads=2, vocabulary=300, max_tokens=24, epochs=4, batch=8, checkpoint_every=5
)
NOUNS = ("card", "loan", "rate", "bill", "fee", "limit", "branch", "cheque")


def texts() -> pa.Table:
    """160 short texts of two labels."""
    rows = [
        (label, f"{opens} the {noun} of my {other} number {number} please")
        for label, opens in (("ask", "what is"), ("stop", "do cancel"))
        for number, noun in enumerate(NOUNS)
        for other in (*NOUNS[:5], *NOUNS[-5:])
    ]
    return pa.table({"label": [one[0] for one in rows], "text": [one[1] for one in rows]})


def drawn(folder: Path) -> dict[str, list[str]]:
    """60 texts of the trained model, in blocks of 20."""
    return sample(
        folder / "model", texts(), {"ask": 30, "stop": 30}, Diversity(), 3, folder / "texts", "one", _slowly, block=20
    )


def _slowly(done: int, total: int) -> None:
    print(done, flush=True)
    if "--slow" in sys.argv:
        time.sleep(0.05)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if not (place / "model").exists():
        make_generation(texts(), texts().slice(0, 9), SECTION, 11, place, "key", _slowly)
    drawn(place)
