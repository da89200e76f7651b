"""Warnings on curves made by hand."""

import pytest

from videoperceiver.training.drift import Drift

NAN = float("nan")


def told(rows, window=4):
    """The warnings after each row."""
    drift = Drift(window)
    return [set(drift.see(row)) for row in rows]


def curve(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


HIGH, LOW = [0.50, 0.52, 0.48, 0.50], [0.20, 0.22, 0.18, 0.20]
STEADY, RISEN = [0.60, 0.62, 0.58, 0.60], [0.80, 0.82, 0.78, 0.80]


def test_hacking_is_v_prime_falling_while_v_does_not_rise():
    assert told(curve(q=STEADY + STEADY, q_degraded=HIGH + LOW))[-1] == {"warn_hacking"}
    assert told(curve(q=RISEN + STEADY, q_degraded=HIGH + LOW))[-1] == {"warn_hacking"}
    assert told(curve(q=STEADY + RISEN, q_degraded=HIGH + LOW))[-1] == set()
    assert told(curve(q=STEADY + STEADY, q_degraded=LOW + HIGH))[-1] == set()


def test_noise_is_no_fall():
    """.52 -> .48 with a spread of .2 is within two standard errors (.14)."""
    assert told(curve(q=STEADY + STEADY, q_degraded=[0.32, 0.72, 0.32, 0.72, 0.28, 0.68, 0.28, 0.68]))[-1] == set()


def test_entropy_collapses_below_a_fifth():
    assert told(curve(entropy=[1.0] * 4 + [0.19] * 4))[-1] == {"warn_entropy"}
    assert told(curve(entropy=[1.0] * 4 + [0.21] * 4))[-1] == set()


@pytest.mark.parametrize(("after", "expected"), [(15.2, {"warn_length"}), (14.8, set()), (6.6, {"warn_length"}), (6.8, set())])
def test_length_drifts_by_half_either_way(after, expected):
    assert told(curve(length=[10.0] * 4 + [after] * 4))[-1] == expected


def test_nothing_is_said_before_two_windows_and_the_last_window_moves_on():
    found = told(curve(length=[10.0] * 4 + [20.0] * 4 + [10.0] * 4))
    assert [bool(f) for f in found] == [False] * 7 + [True] * 2 + [False] * 3


def test_what_was_not_measured_says_nothing():
    assert told([{"q": None, "q_degraded": NAN, "entropy": None} for _ in range(8)])[-1] == set()
    assert told([{} for _ in range(8)])[-1] == set()


def test_messages_say_what_went_from_where_to_where_and_what_to_do():
    drift = Drift(2)
    for row in curve(q=[0.6] * 4, q_degraded=[0.5, 0.5, 0.2, 0.2], entropy=[1.0, 1.0, 0.1, 0.1], length=[2.0, 2.0, 9.0, 9.0]):
        found = drift.see(row)
    assert "Q on V' fell from 0.500 to 0.200 while Q on V went from 0.600 to 0.600" in found["warn_hacking"]
    assert "from 1.000 to 0.100 nats a token" in found["warn_entropy"]
    assert "from 2.0 to 9.0 tokens" in found["warn_length"]
    assert all(any(word in message for word in ("lower", "Lower", "look at")) for message in found.values())
