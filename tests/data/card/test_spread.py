"""Distributions by hand."""

import random

import pytest

from videoperceiver.data.card.spread import OTHERS, Spread, Tally


def spread_of(*values: float) -> Spread:
    spread = Spread()
    for value in values:
        spread.add(value)
    return spread


def test_figures_by_hand():
    spread = spread_of(4, 1, 2, 1)
    assert (spread.count, spread.mean, spread.low, spread.high) == (4, 2.0, 1, 4)
    assert [spread.quantile(share) for share in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 2.0, 4.0]
    assert spread.bins([0, 1, 2, 4]) == [0, 2, 2]  # a border belongs to the bin above it, the largest number to the last
    assert (Spread().mean, Spread().quantile(0.5), Spread().edges()) == (None, None, [0.0, 1.0])


def test_a_quantile_is_right_to_three_digits_in_bounded_memory():
    rng = random.Random(0)
    values = sorted(rng.lognormvariate(1, 2) for _ in range(20_000))
    spread = spread_of(*values)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert spread.quantile(share) == pytest.approx(values[int(share * len(values))], rel=0.01)
    assert len(spread._counts) < 6_000
    assert sum(spread.bins(spread.edges())) == 20_000


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([0.5, 2.0], [0, 0.1, 0.2]),
        ([16], [0, 1, 2]),
        ([20, 100], [0, 5, 10]),
    ],
)
def test_borders_are_round_and_hold_everything(values, edges):
    found = spread_of(*values).edges()
    assert found[:3] == pytest.approx(edges)
    assert found[-1] >= max(values)
    assert len(found) <= 22
    assert sum(spread_of(*values).bins(found)) == len(values)


def test_a_long_tail_has_growing_steps():
    spread = spread_of(1, 2, 2, 3, 3, 3, 3600)
    edges = spread.edges()
    assert edges[:5] == [1, 2, 5, 10, 20]
    assert edges[-1] == 5000
    assert spread.bins(edges)[:2] == [1, 5]
    assert spread.bins(edges)[-1] == 1
    assert spread_of(0, 1, 1, 100).edges()[0] == 0.0


def test_names_beyond_the_limit_count_together():
    tally = Tally(limit=2)
    for name in ("a", "b", "c", "a", "d"):
        tally.add(name)
    assert tally == {"a": 2, "b": 1, OTHERS: 2}
