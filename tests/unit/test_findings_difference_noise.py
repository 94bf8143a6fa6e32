"""Parts of the noise of a paired difference, against a plain loop and against planted variances."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.findings.difference_noise import Noise, label_noise, replicate_error

pytestmark = pytest.mark.unit


def planted(
    rng: np.random.Generator, labels: np.ndarray, replicates: int, sd: tuple[float, float, float]
) -> np.ndarray:
    document, replicate, answer = sd
    per_label = rng.normal(0, replicate, (replicates, labels.max() + 1))
    noise = rng.normal(0, document, len(labels)) + rng.normal(0, answer, (replicates, len(labels)))
    return 0.3 + per_label[:, labels] + noise


def by_loop(d: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    r = len(d)
    documents = replicates = answers = 0.0
    free = [0, 0, 0.0]
    for name in np.unique(labels):
        own = d[:, labels == name]
        n = own.shape[1]
        if n < 2:
            continue
        for i in range(n):
            documents += r * (own[:, i].mean() - own.mean()) ** 2
        for k in range(r):
            replicates += n * (own[k].mean() - own.mean()) ** 2
        for i in range(n):
            for k in range(r):
                answers += (own[k, i] - own[k].mean() - own[:, i].mean() + own.mean()) ** 2
        free[0] += n - 1
        free[1] += r - 1
        free[2] += n
    answer = answers / ((r - 1) * free[0])
    return (
        max(0, (documents / free[0] - answer) / r),
        max(0, (replicates - free[1] * answer) / ((r - 1) * free[2])),
        answer,
    )


def test_the_parts_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 9, 60)
    labels[0] = 9
    d = planted(rng, labels, 4, (0.3, 0.2, 0.4))
    found = label_noise([d], [labels.astype(str)])
    assert (found.document, found.replicate, found.answer) == pytest.approx(by_loop(d, labels))
    turned = rng.permutation(60)
    again = label_noise([d[:, turned]], [labels[turned].astype(str)])
    assert (again.document, again.replicate) == pytest.approx((found.document, found.replicate))


def test_planted_variances_come_back():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(300), 6)
    found = label_noise([planted(rng, labels, 5, (0.3, 0.15, 0.4)) for _ in range(2)], [labels.astype(str)] * 2)
    assert (found.document, found.replicate, found.answer) == pytest.approx((0.09, 0.0225, 0.16), rel=0.12)


def test_the_error_is_the_spread_of_a_labels_mean():
    rng = np.random.default_rng(3)
    sd = (0.3, 0.15, 0.4)
    noise = Noise(0.09, 0.0225, 0.16, 5)
    for n in (1, 7):
        means = [planted(rng, np.zeros(n, int), 5, sd).mean() for _ in range(4000)]
        assert float(noise.error(n)) == pytest.approx(np.std(means), rel=0.05)
    assert noise.documents_needed(float(noise.error(7))) == 7
    assert noise.documents_needed(float(noise.error(7)) * 0.99) == 8
    # replicates alone leave .067
    assert noise.documents_needed(0.06) is None


def test_the_error_of_replicates_leaves_out_that_of_documents_and_answers():
    rng = np.random.default_rng(4)
    weights = np.full(80, 1 / 80)
    shift = rng.normal(0, 0.1, (2000, 5, 1))
    found = [replicate_error(one + rng.normal(0, 0.5, (5, 80)), weights, 0.25) ** 2 for one in shift]
    # a negative part counts as 0, so the mean is a little high
    assert np.mean(found) == pytest.approx(0.01 / 5, rel=0.15)
    assert replicate_error(np.ones((1, 80)), weights, 0.0) == 0.0


def test_of_one_replicate_its_own_noise_cannot_be_seen():
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(50), 4)
    found = label_noise([planted(rng, labels, 1, (0.3, 0.5, 0.4))], [labels.astype(str)])
    assert (found.replicate, found.answer, found.replicates) == (0.0, 0.0, 1)
    assert found.document == pytest.approx(0.25, rel=0.2)


def test_labels_of_one_document_give_nothing():
    assert label_noise([np.ones((3, 4))], [np.array(list("abcd"))]) is None
    assert label_noise([], []) is None
