"""The order of batches: complete passes, and shared over arms."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.training.batches import batch_rows

pytestmark = pytest.mark.unit
DOMAINS = ["email", "json"]


def _slots(budgets: tuple[int, int] = (30, 12)) -> tuple[np.ndarray, np.ndarray]:
    domain = np.repeat([0, 1], budgets)
    slot = np.concatenate([np.arange(size) for size in budgets])
    return domain, slot


def test_every_pass_holds_every_row_once() -> None:
    domain, slot = _slots()
    rows = batch_rows(domain, slot, DOMAINS, steps=20, batch=8, seed=1, replicate=0)
    assert rows.shape == (20, 8)
    flat = rows.ravel()
    for one in range(3):
        assert sorted(flat[one * 42 : (one + 1) * 42]) == list(range(42))
    assert list(flat[:42]) != list(flat[42:84])


def test_an_arm_with_empty_slots_keeps_the_order_of_the_others() -> None:
    domain, slot = _slots()
    full = batch_rows(domain, slot, DOMAINS, steps=1, batch=42, seed=1, replicate=0).ravel()
    # `drop` leaves the last slots of each domain empty; a hole may be anywhere
    for there in (np.where(domain == 0, slot < 18, slot < 7), slot % 5 != 1):
        kept = np.flatnonzero(there)
        part = batch_rows(domain[kept], slot[kept], DOMAINS, steps=1, batch=len(kept), seed=1, replicate=0).ravel()
        assert [row for row in full if row in set(kept)] == kept[part].tolist()


def test_an_arm_without_a_whole_domain_keeps_the_order() -> None:
    domain, slot = _slots()
    full = batch_rows(domain, slot, DOMAINS, steps=1, batch=42, seed=1, replicate=0).ravel()
    only = np.flatnonzero(domain == 1)
    part = batch_rows(domain[only] * 0, slot[only], ["json"], steps=1, batch=12, seed=1, replicate=0).ravel()
    assert [row for row in full if row in set(only)] == only[part].tolist()


def test_order_differs_by_replicate_and_seed() -> None:
    domain, slot = _slots()
    orders = {
        tuple(batch_rows(domain, slot, DOMAINS, steps=1, batch=42, seed=s, replicate=r).ravel())
        for s in (1, 2)
        for r in (0, 1)
    }
    assert len(orders) == 4
