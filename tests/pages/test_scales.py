import numpy as np
import pytest

from videoperceiver.pages.scales import Axis, bounds, lines, smooth, thin, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 10, [0, 2, 4, 6, 8, 10]), (0.11, 0.32, [0.15, 0.2, 0.25, 0.3]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (3, 3, [3])]
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_an_axis_without_extent_puts_everything_in_the_middle():
    assert Axis(2, 2).place(2) == 50
    assert Axis(0, 4, 10, 90).percent(1) == "30.000%"


def test_bounds_ignore_what_is_not_finite():
    low, high = bounds([1.0, np.nan, 3.0, np.inf])
    assert low < 1 < 3 < high < 4
    assert bounds([np.nan]) == (0.0, 1.0)


def test_a_missing_value_breaks_the_line():
    parts = lines([0, 1, 2, 3], [1.0, 1.0, np.nan, 0.0], Axis(0, 3), Axis(0, 1, 100, 0))
    assert parts == ["0.0,0.0 333.3,0.0", "1000.0,100.0 1000.0,100.0"]  # a lone point is drawn as a dot


def test_thinning_keeps_every_peak():
    y = np.zeros(20_000)
    y[[7, 9_999, 19_998]] = [5, -4, 3]
    x, kept = thin(np.arange(20_000), y)
    assert len(x) <= 602
    assert {5.0, -4.0, 3.0} <= set(kept)
    assert x[0] == 0
    assert x[-1] == 19_999
    assert (np.diff(x) > 0).all()


def test_the_moving_mean_skips_missing_values():
    assert smooth([1.0, np.nan, 3.0, 5.0], 3) == pytest.approx([1.0, 2.0, 4.0, 4.0])
