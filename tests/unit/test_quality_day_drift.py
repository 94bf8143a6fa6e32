"""What is new in a day, and what chance alone makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from smc_dagster.quality.day_drift import (
    COLUMNS,
    FEWEST,
    DayScore,
    by_chance,
    length_distance,
    mix_distance,
    new_documents,
    sample_days,
)

LABELS = 150


def described(n: int, seed: int, mix: np.ndarray | None = None, longer: float = 0.0) -> pd.DataFrame:
    """Documents over 150 labels of 5 domains, of lengths about 20 words."""
    random = np.random.default_rng(seed)
    label = random.choice(LABELS, n, p=mix)
    words = random.normal(20 + longer, 5, n).round()
    frame = pd.DataFrame({"label": [f"l{one}" for one in label], "domain": [f"d{one % 5}" for one in label]})
    return frame.assign(words=words, characters=words * 6)


def codes(one: pd.DataFrame, other: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    both = pd.factorize(pd.concat([one["label"], other["label"]]))[0]
    return both[: len(one)], both[len(one) :]


def test_a_small_day_is_far_from_its_own_source_by_chance() -> None:
    before, day = described(2000, 1), described(200, 2)
    chance = by_chance(before, day, 7)
    mixes = codes(day, before)
    calm = DayScore("label", "jensenshannon", mix_distance(*mixes), 0.1, chance["label"])
    assert calm.score > calm.limit
    assert not calm.drifted
    skewed = described(200, 2, np.r_[0.2, np.full(LABELS - 1, 0.8 / (LABELS - 1))])
    shifted = DayScore("label", "jensenshannon", mix_distance(*codes(skewed, before)), 0.1, chance["label"])
    assert shifted.drifted
    # a shift that is no chance, and too small for the limit
    assert not shifted._replace(limit=0.8).drifted


def test_chance_passes_what_is_drawn_alike_and_not_what_is_longer() -> None:
    before = described(2000, 1)
    beyond = 0
    for seed in range(6):
        day = described(100, 100 + seed)
        beyond += (
            length_distance(day["words"].to_numpy(), before["words"].to_numpy()) > by_chance(before, day, 7)["words"]
        )
    # one in 100 is due
    assert beyond <= 1
    longer = described(100, 3, longer=3)
    chance = by_chance(before, longer, 7)
    assert length_distance(longer["words"].to_numpy(), before["words"].to_numpy()) > chance["words"]


def test_order_of_rows_changes_no_chance() -> None:
    before, day = described(500, 1), described(100, 2)
    shuffled = (one.sample(frac=1, random_state=3).reset_index(drop=True) for one in (before, day))
    assert by_chance(before, day, 7) == by_chance(*shuffled, 7)


def rows(*ids: str) -> pa.Table:
    content = {name: [f"{name} {one}" if name != "doc_id" else one for one in ids] for name in COLUMNS}
    return pa.table(content, schema=pa.schema([pa.field(name, pa.string(), nullable=False) for name in COLUMNS]))


def test_a_day_brings_what_no_day_before_held() -> None:
    before = [rows("a", "b")["doc_id"], rows("c")["doc_id"]]
    assert new_documents(rows("d", "a", "c", "e"), before)["doc_id"].to_pylist() == ["d", "e"]


def test_days_are_sampled_as_one_each_document_once() -> None:
    ids = [f"{at:03d}" for at in range(60)]
    once = sample_days([rows(*ids)], 7)
    assert once is not None
    again = sample_days([rows(*ids[40:], *ids[:5]), rows(*ids[:45]), rows(*reversed(ids))], 7)
    assert again is not None
    assert again.to_pylist() == once.to_pylist()
    assert sorted(once["doc_id"].to_pylist()) == ids
    assert sample_days([rows(*ids[: FEWEST - 1]), rows(*ids[: FEWEST - 1])], 7) is None
