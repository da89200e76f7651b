"""Intervals and tests against textbook values, exact enumeration, and what resampling videos must do."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation import statistics


@pytest.mark.parametrize(("successes", "num"), [(0, 10), (3, 10), (50, 100), (100, 100)])
def test_wilson_is_scipys(successes, num):
    expected = binomtest(successes, num).proportion_ci(method="wilson")
    assert statistics.wilson(successes, num) == pytest.approx((expected.low, expected.high))


def test_wilson_of_nothing_is_unknown():
    assert all(math.isnan(bound) for bound in statistics.wilson(0, 0))


def test_one_question_a_video_agrees_with_wilson():
    values = [1.0] * 140 + [0.0] * 60
    got = statistics.clustered_mean(values, [str(i) for i in range(200)])
    assert got.value == pytest.approx(0.7)
    assert (got.low, got.high) == pytest.approx(statistics.wilson(140, 200), abs=0.012)
    assert (got.num, got.num_videos) == (200, 200)


def test_copies_of_a_video_do_not_narrow_the_interval():
    values, videos = [1.0] * 14 + [0.0] * 6, [str(i) for i in range(20)]
    once = statistics.clustered_mean(values, videos)
    ten_times = statistics.clustered_mean(values * 10, videos * 10)
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high))
    assert ten_times.num == 200
    assert ten_times.num_videos == 20
    as_if_independent = statistics.clustered_mean(values * 10, [str(i) for i in range(200)])
    assert as_if_independent.high - as_if_independent.low < 0.5 * (once.high - once.low)


def test_videos_with_more_questions_weigh_more():
    got = statistics.clustered_mean([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"])
    assert got.value == 0.25
    assert (got.low, got.high) == (0.0, 1.0)  # resamples are aa, ab, ba, bb


def test_the_interval_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        means = rng.beta(2, 2, size=40)
        values = rng.random((40, 5)) < means[:, None]
        got = statistics.clustered_mean(values.ravel(), np.repeat(np.arange(40), 5).astype(str).tolist(), num_resamples=400, seed=trial)
        covered += got.low <= 0.5 <= got.high
    assert 0.88 <= covered / 200 <= 0.99


def test_unscored_values_are_left_out_and_too_few_videos_have_no_interval():
    got = statistics.clustered_mean([1.0, math.nan, 0.0], ["a", "b", "a"])
    assert (got.value, got.num, got.num_videos) == (0.5, 2, 1)
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    nothing = statistics.clustered_mean([math.nan], ["a"])
    assert math.isnan(nothing.value)
    assert nothing.num == 0


def test_no_spread_is_not_certainty():
    got = statistics.clustered_mean([1.0] * 30, [str(i // 3) for i in range(30)])
    assert (got.low, got.high) == pytest.approx(statistics.wilson(10, 10))
    difference = statistics.clustered_mean([0.0, 0.0], ["a", "b"], differences=True)
    assert difference.value == 0.0
    assert math.isnan(difference.low)


def test_slices_give_the_same_as_one_by_one_and_are_seeded():
    rng = np.random.default_rng(1)
    values, videos = rng.random(60), [str(i % 12) for i in range(60)]
    together = statistics.Slices(seed=3)
    together.add(("all",), values, videos)
    together.add(("half",), values[:30], videos[:30])
    again = statistics.Slices(seed=3)
    again.add(("all",), values, videos)
    assert together.estimates()[("all",)] == again.estimates()[("all",)]
    assert statistics.clustered_mean(values, videos, seed=3) != statistics.clustered_mean(values, videos, seed=4)


def test_permutation_test_by_enumeration():
    # videos sum to 2, 1, 1: of the 8 sign patterns |sum| >= 4 holds for +++ and ---
    assert statistics.permutation_test([1.0, 1.0, 1.0, 1.0], ["a", "a", "b", "c"]) == 0.25
    # sums 2, -1, 1: |observed| = 2; patterns reach 4 2 2 0 and their negatives, so 6 of 8
    assert statistics.permutation_test([2.0, -1.0, 1.0], ["a", "b", "c"]) == 0.75
    assert statistics.permutation_test([0.0, 0.0], ["a", "b"]) == 1.0
    assert statistics.permutation_test([1.0, -1.0, math.nan], ["a", "a", "b"]) == 1.0


def test_permutation_test_by_sampling_agrees_with_the_sign_test():
    # 40 videos, 30 better and 10 worse by one question: the exact sign-flip p-value is the binomial one
    differences, videos = [1.0] * 30 + [-1.0] * 10, [str(i) for i in range(40)]
    got = statistics.permutation_test(differences, videos, num_permutations=20_000)
    assert got == pytest.approx(binomtest(30, 40).pvalue, abs=0.001)
    assert statistics.permutation_test([1.0] * 40, videos, num_permutations=999) == pytest.approx(1 / 1000)


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 -> times 4 3 2 1 = .04 .06 .06 .04 -> made monotone .04 .06 .06 .06
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_compare_pairs_questions():
    better = [row(1, sample=str(i), question="q") for i in range(12)]
    worse = [row(0 if i < 9 else 1, sample=str(i), question="q") for i in range(12)]
    got = statistics.compare(better, worse)
    assert got.difference.value == 0.75
    assert got.difference.low > 0
    assert got.p_value == pytest.approx(2 / 2**9)
    assert statistics.compare(better, better).p_value == 1.0


def predictions():
    rows = []
    for i in range(10):
        cue = "agree" if i % 2 else "conflict"
        for condition, right in (("full", i < 8), ("degraded", i < 3)):
            rows.append(row(int(right), sample=str(i), family="colour", condition=condition, cue=cue, reference="red" if i < 6 else "blue") | {"static": False})
            rows.append(row(1, sample=str(i), question="p", family="object", condition=condition, cue=cue, reference="dot") | {"static": True})
    rows[-1] = rows[-1] | {"score": None, "extracted": None}
    return rows


def test_summary_by_hand():
    got = statistics.summarize(predictions())
    full, degraded = got["accuracy"]["full"], got["accuracy"]["degraded"]
    assert full["all"]["value"] == pytest.approx(18 / 20)
    assert degraded["all"]["value"] == pytest.approx((3 + 9) / 20)
    assert full["family"]["colour"]["value"] == 0.8
    assert full["static"]["True"]["value"] == 1.0
    assert full["tags"]["cue=conflict"]["value"] == pytest.approx((4 + 5) / 10)
    assert full["all"]["low"] < 0.9 < full["all"]["high"]
    assert full["all"]["num_videos"] == 10
    assert got["gap"]["degraded"]["family"]["colour"]["value"] == pytest.approx(0.5)
    assert got["gap"]["degraded"]["family"]["object"]["value"] == pytest.approx(0.1)
    assert "full" not in got["gap"]
    assert got["unparsed"] == {"degraded": 1 / 20, "full": 0.0}
    assert got["majority"]["family"] == {"colour": 0.6, "object": 1.0}
    assert got["majority"]["all"] == 0.8
    assert (got["num_questions"], got["num_videos"]) == (20, 10)


def test_summary_is_json_and_repeats():
    assert json.dumps(statistics.summarize(predictions(), seed=5), allow_nan=False) == json.dumps(statistics.summarize(predictions(), seed=5))
    empty = statistics.summarize([])
    assert empty["accuracy"] == {}
    assert empty["majority"]["all"] is None


def test_a_clip_missing_a_condition_leaves_the_gap_to_the_others():
    rows = [r for r in predictions() if not (r["sample"] == "0" and r["condition"] == "degraded")]
    assert statistics.summarize(rows)["gap"]["degraded"]["all"]["num"] == 18
