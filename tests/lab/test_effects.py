"""Effects: hand-computed intervals, the closed form against a simulated bootstrap, false positives on data without an effect, power, verdicts."""

import math

import numpy as np
import pytest
from scipy import stats

from videoperceiver.lab import effects
from videoperceiver.lab.effects import Effect, paired, verdict
from videoperceiver.lab.rows import Answers, Row


def test_interval_by_hand():
    found = paired([np.array([0.1, 0.1]), np.array([0.3, 0.3])])
    error = math.sqrt(0.01 / 2) * math.sqrt(2)  # variance of (.1, .3) is .01, no spread within
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(12.706 * error, rel=1e-4)  # t, one degree of freedom
    assert found.by_seed == pytest.approx((0.1, 0.3))
    assert found.num_above == 2


def test_spread_within_seeds_widens_the_interval():
    same = paired([np.array([0.1, 0.1]), np.array([0.3, 0.3])])
    mixed = paired([np.array([-0.9, 1.1]), np.array([-0.7, 1.3])])
    assert mixed.value == pytest.approx(same.value)
    assert effects.bootstrap_error([np.array([-0.9, 1.1]), np.array([-0.7, 1.3])]) == pytest.approx(math.sqrt((0.01 + 1.0 / 2) / 2))
    assert mixed.high > same.high


def test_closed_form_equals_a_simulated_bootstrap():
    rng = np.random.default_rng(0)
    differences = [rng.normal(0.1 * i, 1 + i, size=20 + 5 * i) for i in range(5)]
    drawn = [
        np.mean([rng.choice(differences[k], size=len(differences[k])).mean() for k in rng.integers(5, size=5)])  # seeds, then clips
        for _ in range(5_000)
    ]
    assert effects.bootstrap_error(differences) == pytest.approx(np.std(drawn), rel=0.04)


@pytest.mark.parametrize("jumps", [False, True])
def test_false_positives_stay_within_five_percent_where_there_is_no_effect(jumps):
    """10 seeds of 200 clips x 5 questions; the arms' accuracies differ by seed, smoothly or by abrupt jumps, with mean 0."""
    rng = np.random.default_rng(1)
    trials, positives = 2_000, 0
    for _ in range(trials):
        shift = rng.choice([-0.08, 0.0, 0.0, 0.08], size=10) if jumps else rng.normal(0, 0.04, size=10)
        noise = rng.normal(0, 0.25, size=(10, 200))  # a clip's mean difference over five questions
        found = paired(list(shift[:, None] + noise))
        positives += found.low > 0 or found.high < 0
    assert positives / trials <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)
    assert positives / trials > 0.01  # nor is it blind


def test_detectable_effect_has_the_stated_power():
    effect = effects.detectable(1.0, 10)
    rng = np.random.default_rng(2)
    samples = rng.normal(effect, 1.0, size=(20_000, 10))
    found = stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)
    assert effects.detectable(2.0, 10) == pytest.approx(2 * effect)
    assert effects.detectable(1.0, 10, comparisons=11) > effect


def test_verdicts_follow_by_rule():
    def found(low, high, seeds=10):
        return Effect((low + high) / 2, low, high, 0.001, tuple(range(seeds)), (0.0,) * seeds)

    assert verdict(found(0.02, 0.10), 0.01, 10) == effects.HELPS
    assert verdict(found(0.02, 0.10), 0.06, 10) == effects.UNDECIDED
    assert verdict(found(-0.10, -0.02), 0.01, 10) == effects.HARMS
    assert verdict(found(-0.02, 0.02), 1.0, 10) == effects.NOTHING
    assert verdict(found(-0.02, 0.04), 1.0, 10) == effects.UNDECIDED
    assert verdict(found(0.02, 0.10, seeds=9), 0.01, 10) == effects.UNDECIDED


def test_one_seed_has_no_interval_and_no_verdict():
    found = paired([np.array([0.5, 0.7])])
    assert found.value == pytest.approx(0.6)
    assert math.isnan(found.low)
    assert verdict(found, math.nan, 1) == effects.UNDECIDED


def row(arm, seed, correct):
    correct = np.array(correct, dtype=bool)
    answers = Answers(correct, ~correct)
    return Row(
        arm,
        seed,
        None,
        1,
        {"train": 10.0, "evaluate": 1.0},
        {},
        ("when", "count", "object_colour"),
        (False, False, True),
        {"conflict/full": answers, "agree/full": answers},
    )


def test_slices_of_a_row():
    one = row("a", 0, [[1, 0, 1], [1, 1, 0]])
    assert effects.clip_scores(one, "conflict").tolist() == [0.5, 1.0]
    assert effects.clip_scores(one, "conflict/full").tolist() == [0.5, 1.0]
    assert effects.clip_scores(one, "conflict:count").tolist() == [0.0, 1.0]
    assert effects.clip_scores(one, "static").tolist() == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(KeyError):
        effects.clip_scores(one, "independent")
    with pytest.raises(ValueError, match="no question"):
        effects.clip_scores(one, "conflict:order")


def test_effects_pair_only_seeds_that_both_have():
    rows = [row("a", 0, [[1, 1, 1]]), row("a", 1, [[1, 1, 1]]), row("b", 1, [[1, 0, 1]]), row("b", 2, [[0, 0, 0]])]
    found = effects.effect(rows, "a", "b", "conflict")
    assert found.seeds == (1,)
    assert found.value == pytest.approx(0.5)
    assert effects.cost(rows, "a") == 10.0
    assert math.isnan(effects.cost(rows, "c"))
