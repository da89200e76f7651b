import math

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation.columns import estimate_columns, pool, tabulate, weights
from videoperceiver.evaluation.statistics import Slices

A, B, C = pool("a"), pool("b"), pool("c")


def rows(family, *scores):
    return [row(score, family=family, sample=f"{family}{i}") for i, score in enumerate(scores)]


def test_a_tuple_is_the_mean_of_its_parts():
    data = [*rows("a", 1, 1, 0, 0), *rows("b", 1), *rows("c", 0)]
    table = tabulate(data, {"micro": pool(), "macro": (A, B, C), "nested": ((A, B), C)})
    assert table == pytest.approx({"micro": 50.0, "macro": 50.0, "nested": 37.5})
    assert [(round(weight, 4), measure) for weight, measure in weights(((A, B), C))] == [(0.25, A), (0.25, B), (0.5, C)]


def test_a_missing_part_makes_no_other_number():
    data = rows("a", 1, 0)
    assert math.isnan(tabulate(data, {"macro": (A, B)})["macro"])
    found = estimate_columns({"": data}, {"macro": (A, B), "a": A})[""]
    assert math.isnan(found["macro"].value)
    assert math.isnan(found["macro"].low)
    assert found["a"].value == 0.5


def test_intervals_of_a_single_pool_are_those_of_its_slice():
    data = rows("a", *(float(i % 3 == 0) for i in range(60)))
    slices = Slices()
    slices.add(("x",), [item["score"] for item in data], [item["video"] for item in data])
    assert estimate_columns({"x": data}, {"a": A})["x"]["a"] == slices.estimates()[("x",)]


def test_a_mean_of_two_pools_is_as_uncertain_as_theory_says():
    data = [*rows("a", *(float(i % 2) for i in range(200))), *rows("b", *(float(i % 4 == 0) for i in range(100)))]
    found = estimate_columns({"": data}, {"macro": (A, B)})[""]["macro"]
    assert found.value == pytest.approx(0.375)
    deviation = math.sqrt(0.25 * 0.25 / 200 + 0.25 * (0.25 * 0.75) / 100)  # of the mean of two independent proportions
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert (found.num, found.num_videos) == (300, 300)


def test_equal_parts_have_no_interval():
    found = estimate_columns({"": [*rows("a", 1, 1), *rows("b", 1, 1)]}, {"macro": (A, B)})[""]["macro"]
    assert found.value == 1.0
    assert math.isnan(found.low)


def test_draws_by_counting_are_as_wide_as_multinomial_ones():
    few, many = (estimate_columns({"": rows("a", *(float(i % 2) for i in range(num)))}, {"a": A})[""]["a"] for num in (2000, 2002))
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.1)
