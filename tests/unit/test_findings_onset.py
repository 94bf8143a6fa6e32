"""The onset is called only where a knee is there to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from smc_dagster.findings.comparison import compare, lead
from smc_dagster.findings.judging import judge
from smc_dagster.findings.noise import Noise, noise_of
from smc_dagster.findings.onset import find_onset, without_proof
from smc_dagster.findings.worlds import SMOOTH, knee, smooth

pytestmark = pytest.mark.unit

SHARES = np.arange(0, 0.61, 0.1)
FINE = np.arange(0, 0.61, 0.05)
WHITE = Noise(0.02, np.zeros((0, len(FINE))))


def curves(truth, noise: float, replicates: int = 5, sets: int = 1, seed: int = 0, shares=SHARES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = rng.normal(0.3, 0.02, (sets, replicates, 1))
    return level + truth(shares) + rng.normal(0, noise, (sets, replicates, len(shares)))


def test_a_strong_knee_is_identified_and_its_interval_covers_it():
    found = find_onset(curves(lambda x: -0.4 * np.maximum(x - 0.35, 0), 0.004, shares=FINE)[0], FINE, 0.95, 1)
    assert found.status == "identified"
    assert found.best_model == "broken_stick"
    assert found.low <= 0.35 <= found.high
    assert found.high - found.low < 0.1


def test_a_step_is_identified_between_its_two_shares():
    found = find_onset(curves(lambda x: -0.06 * (x > 0.35), 0.004)[0], SHARES, 0.95, 1)
    assert (found.status, found.best_model) == ("identified", "step")
    assert found.low == pytest.approx(0.3)
    assert found.high == pytest.approx(0.4)


@pytest.mark.parametrize("truth", [lambda x: -0.1 * x, lambda x: -0.2 * x**2, lambda x: 0.06 * np.log(1 - x)])
def test_a_smooth_decline_is_not_a_knee(truth):
    found = find_onset(curves(truth, 0.004, seed=3)[0], SHARES, 0.95, 1)
    assert found.status == "smooth_decline"
    assert found.knot is found.low is found.high is None


@pytest.mark.parametrize("truth", [lambda x: 0 * x, lambda x: 0.1 * x])
def test_level_and_rising_curves_do_not_decline(truth):
    found = find_onset(curves(truth, 0.004, seed=4)[0], SHARES, 0.95, 1)
    assert (found.status, found.best_model) == ("no_decline", "constant")


def called(truth: np.ndarray, noise: Noise, studies: int, seed: int = 1, simulations: int = 60):
    """Studies around one truth on the fine grid, judged."""
    rng = np.random.default_rng(seed)
    drawn = noise.curves(np.repeat(truth[None], studies, axis=0), 5, rng)
    return judge(drawn, FINE, noise, 0.95, rng, simulations)


@pytest.mark.parametrize("shape", SMOOTH)
@pytest.mark.parametrize("loss", [0.0, 0.06, 0.25])
def test_few_knees_are_called_where_there_is_none(shape, loss):
    found = called(smooth(shape, loss, FINE), WHITE, 150).found
    # 5 % are allowed; 15 of 150 have a chance of .007 at that
    assert found.sum() < 15


def test_a_bend_that_the_documents_share_is_noise():
    rng = np.random.default_rng(2)
    bends = np.array([knee(at, slope, FINE) for at in (0.2, 0.3, 0.4) for slope in (-0.3, 0.3)])
    shared = np.concatenate([bends, rng.normal(0, 0.001, (2, len(FINE)))])
    shared = shared - shared.mean(axis=1, keepdims=True)
    noise = Noise(0.01, shared)
    truth = smooth("linear", 0.1, FINE)
    assert called(truth, noise, 100).found.mean() < 0.12
    # the same curves judged by the scatter of replicates alone
    drawn = noise.curves(np.repeat(truth[None], 100, axis=0), 5, np.random.default_rng(1))
    blind = judge(drawn, FINE, Noise(0.01, shared[:0]), 0.95, np.random.default_rng(1), 60)
    assert blind.found.mean() > 0.25


def test_strong_knees_are_called_and_their_intervals_cover():
    for at in (0.2, 0.4):
        judged = called(knee(at, -1.0, FINE), WHITE, 100)
        assert judged.found.mean() > 0.9
        holds = (judged.low <= at + 1e-9) & (at - 1e-9 <= judged.high)
        assert 0.88 <= holds[judged.found].mean() <= 1.0
        assert np.median((judged.high - judged.low)[judged.found]) < 0.2


def test_a_knee_leads_on_held_out_replicates_too_and_its_knot_is_somewhere():
    few = np.arange(0, 0.41, 0.1)
    loud = Noise(0.04, np.zeros((0, len(few))))
    rng = np.random.default_rng(1)
    drawn = loud.curves(np.repeat(knee(0.2, -0.3, few)[None], 200, axis=0), 5, rng)
    judged = judge(drawn, few, loud, 0.95, rng, 60)
    rare = judged.p_value <= 0.05
    # with such noise each rule stops some
    assert rare.sum() > (rare & judged.foretold).sum() > judged.found.sum() > 0
    assert (rare & judged.foretold)[judged.found].all()
    # narrower than the range searched
    assert ((judged.low > few[1] + 1e-9) | (judged.high < few[-2] - 1e-9))[judged.found].all()


@pytest.mark.parametrize("after", [0.0, -0.1])
def test_a_decline_that_slows_down_has_no_onset(after):
    truth = curves(lambda x: -0.4 * np.minimum(x, 0.2) + after * np.maximum(x - 0.2, 0), 0.004, shares=FINE)[0]
    found = find_onset(truth, FINE, 0.95, 1)
    assert found.status == "smooth_decline"
    assert "behind" in found.note


def test_what_smooth_curves_do_often_is_told_with_its_rate():
    rng = np.random.default_rng(5)
    drawn = WHITE.curves(np.repeat(smooth("cubic", 0.12, FINE)[None], 40, axis=0), 5, rng)
    told = [find_onset(one, FINE, 0.95, 1) for one in drawn[lead(compare(drawn, FINE)) > 0]]
    ahead = [one for one in told if one.p_value > 0.05]
    assert ahead
    for one in ahead:
        assert one.status == "smooth_decline"
        assert one.note.endswith(f"{one.p_value * 100:.1f} % of 400 simulations")


def test_documents_drawn_anew_tell_a_bend_that_is_theirs():
    values = curves(lambda x: -0.12 * x - 0.25 * np.maximum(x - 0.3, 0), 0.004, shares=FINE)[0]
    bends = np.random.default_rng(6).choice([-0.3, 0.3], 200)[:, None] * np.maximum(FINE - 0.3, 0)
    shared = values[:, None] + bends - bends.mean(axis=0)
    assert find_onset(values, FINE, 0.95, 1).status == "identified"
    assert find_onset(values, FINE, 0.95, 1, shared).status == "smooth_decline"


def test_a_lead_is_counted_from_the_best_of_the_others():
    straight = compare(curves(lambda x: -0.5 * x, 0.002, sets=20), SHARES)
    bent = compare(curves(lambda x: -0.4 * np.maximum(x - 0.3, 0), 0.002, sets=20), SHARES)
    assert (lead(straight) < 0).all()
    assert (lead(bent) > 0).all()
    names = [model.name for model in bent.models]
    best = bent.bic[:, [names.index(one) for one in ("broken_stick", "step")]].min(axis=1)
    others = np.delete(bent.bic, [names.index("broken_stick"), names.index("step")], axis=1).min(axis=1)
    assert lead(bent) == pytest.approx(others - best)


def test_noise_is_parted_into_replicates_and_documents():
    rng = np.random.default_rng(4)
    shares, replicates, draws = 9, 6, 4000
    common, own = rng.normal(0, 0.02, (draws, shares)), rng.normal(0, 0.03, (replicates, draws, shares))
    values = rng.normal(0.3, 0.05, (replicates, 1)) + rng.normal(0, 0.01, (replicates, shares))
    noise = noise_of(values, values[:, None] + common + own)
    assert noise.spread == pytest.approx(0.01, rel=0.3)
    # centring over shares leaves 8 of 9 parts of the variance
    assert noise.shared.std() == pytest.approx(0.02 * np.sqrt(8 / 9), rel=0.03)
    drawn = noise.curves(np.zeros((3000, shares)), replicates, rng)
    assert drawn.mean(axis=1).std() == pytest.approx(
        np.sqrt(noise.shared.std() ** 2 + noise.spread**2 / replicates), rel=0.05
    )


def test_the_spread_of_few_replicates_is_unbiased():
    values = np.random.default_rng(7).normal(0, 0.02, (4000, 3, 5))
    assert np.mean([noise_of(one).spread ** 2 for one in values]) == pytest.approx(0.02**2, rel=0.04)


@pytest.mark.parametrize(("shares", "replicates"), [(SHARES[:4], 5), (SHARES, 2)])
def test_too_few_data_say_so(shares, replicates):
    found = find_onset(curves(lambda x: -0.5 * x, 0.001, replicates, shares=shares)[0], shares, 0.95, 1)
    assert found.status == "insufficient_data"
    assert "needed" in found.note


def test_a_knee_without_a_proven_loss_is_no_decline():
    found = find_onset(curves(lambda x: -0.06 * (x > 0.35), 0.004)[0], SHARES, 0.95, 1)
    told = without_proof(found)
    assert (told.status, told.knot, told.low, told.high) == ("no_decline", None, None, None)
    assert found.note in told.note
    few = find_onset(curves(lambda x: 0 * x, 0.004)[0][:2], SHARES, 0.95, 1)
    assert without_proof(few) == few


def test_incomplete_replicates_do_not_count():
    values = curves(lambda x: -0.5 * x, 0.001)[0]
    values[:3, 2] = np.nan
    assert find_onset(values, SHARES, 0.95, 1).status == "insufficient_data"


def test_arms_that_a_cap_held_back_are_not_a_plateau():
    reached = np.minimum(SHARES, 0.401)
    values = curves(lambda x: -0.3 * np.minimum(x, 0.4), 0.003)[0]
    found = find_onset(values, reached, 0.95, 1)
    assert found.status == "smooth_decline"
    assert "left out" in found.note


def test_order_of_replicates_and_shares_is_nothing():
    values = curves(lambda x: -0.4 * np.maximum(x - 0.35, 0), 0.006, shares=FINE)[0]
    one = find_onset(values, FINE, 0.95, 1)
    turned = find_onset(values[::-1, ::-1], FINE[::-1], 0.95, 1)
    assert (one.status, one.knot, one.low, one.high) == (turned.status, turned.knot, turned.low, turned.high)
