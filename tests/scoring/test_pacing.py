"""Rates by a clock that is set by hand."""

import pytest

from videoperceiver.scoring.pacing import Pace


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


def starts(pace, clock, expected):
    times = []
    for tokens in expected:
        pace.start(tokens, clock.sleep)
        times.append(clock.now_s - 100.0)
    return times


def test_requests_a_minute(clock):
    assert starts(Pace(30, clock=clock), clock, [0] * 4) == [0, 2, 4, 6]


def test_tokens_a_minute_and_what_they_turn_out_to_be(clock):
    pace = Pace(tokens_per_minute=600, clock=clock)  # ten a second
    assert starts(pace, clock, [100, 50]) == [0, 10]
    pace.correct(50, 20)  # 15 s were kept free for the second; 12 s do
    assert starts(pace, clock, [0]) == [12]


def test_time_that_passes_counts(clock):
    pace = Pace(30, clock=clock)
    pace.start(0)
    clock.now_s += 50
    assert starts(pace, clock, [0, 0]) == [50, 52]


def test_a_pause_holds_for_all_requests_and_no_limit_means_none(clock):
    pace = Pace(clock=clock)
    assert starts(pace, clock, [10**6] * 3) == [0, 0, 0]
    pace.pause(7)
    pace.pause(3)
    assert starts(pace, clock, [0, 0]) == [7, 7]
