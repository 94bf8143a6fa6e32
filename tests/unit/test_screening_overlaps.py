"""What pools share with each other and with training text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from smc_dagster.screening.overlaps import TRAINING, pool_overlaps
from smc_dagster.study import Screening
from smc_dagster.tables import POOL_OVERLAPS

pytestmark = pytest.mark.unit
OWN = "Parse the given header and return its fields in order"
COPIED = "Close the event loop and wait for every transport"
REAL = pa.table(
    {
        "doc_id": ["r1", "r2"],
        "text": [COPIED, "Sample the posterior of the model with a Gibbs step"],
        "split": ["train", "test"],
    }
)


def pool(*texts: str) -> pa.Table:
    return pa.table({"doc_id": [f"{number}" for number in range(len(texts))], "text": list(texts)})


def shares(pools: dict[str, pa.Table]) -> dict[tuple[str, str], float | None]:
    found = pool_overlaps(pools, REAL, Screening())
    assert found.schema == POOL_OVERLAPS.schema
    return {(row["pool"], row["against"]): row["share"] for row in found.to_pylist()}


def test_each_ordered_pair_has_its_share() -> None:
    made = {
        "a": pool(OWN, f"{OWN}.", "Nothing like it stands anywhere", COPIED.upper()),
        "b": pool(f"{OWN} now", "Quite another thing is said in here"),
        "c": pool("Sample the posterior of the model with a Gibbs step"),
    }
    assert shares(made) == {
        ("a", TRAINING): 0.25,
        ("a", "b"): 0.5,
        ("a", "c"): 0.0,
        ("b", TRAINING): 0.0,
        ("b", "a"): 0.5,
        ("b", "c"): 0.0,
        # it copies text of the test split, which is contamination and no overlap with training text
        ("c", TRAINING): 0.0,
        ("c", "a"): 0.0,
        ("c", "b"): 0.0,
    }


def test_the_example_is_a_match_of_smallest_id() -> None:
    found = pool_overlaps({"a": pool("x y z", OWN, OWN), "b": pool("k l m", f"{OWN}!", OWN)}, REAL, Screening())
    row = next(row for row in found.to_pylist() if (row["pool"], row["against"]) == ("a", "b"))
    assert (row["documents"], row["matched"]) == (3, 2)
    assert (row["example_doc_id"], row["matched_doc_id"]) == ("1", "1")


def test_an_empty_pool_has_no_share() -> None:
    empty = pool().cast(pa.schema([("doc_id", pa.string()), ("text", pa.string())]))
    assert shares({"a": empty, "b": pool(OWN)}) == {
        ("a", TRAINING): None,
        ("a", "b"): None,
        ("b", TRAINING): 0.0,
        ("b", "a"): 0.0,
    }


def test_order_of_rows_does_not_matter() -> None:
    made = {"a": pool(OWN, COPIED, f"{OWN} once more"), "b": pool(f"{OWN} again", COPIED)}
    order = np.random.default_rng(2).permutation(3)
    mixed = {"a": made["a"].take(pa.array(order)), "b": made["b"]}
    assert pool_overlaps(mixed, REAL, Screening()).equals(pool_overlaps(made, REAL, Screening()))


def test_a_template_that_fills_two_pools_costs_no_product() -> None:
    texts = [f"Return the configured value of the option number {number} here" for number in range(3000)]
    assert shares({"a": pool(*texts), "b": pool(*texts)})["a", "b"] == 1.0
