import math

import pytest

from videoperceiver.pages import Estimate, words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.254, "0.25 s"), (12.44, "12.4 s"), (200, "3 min 20 s"), (3900, "1 h 05 min"), (None, "–"), (math.nan, "–"), (59.96, "1 min 00 s")],
)
def test_durations_are_written_in_the_unit_a_reader_expects(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("t_s", "text"),
    [(0.75, "0.75"), (-0.04, "−0.04"), (9.999, "10.0"), (12.44, "12.4"), (59.96, "1:00.0"), (125.25, "2:05.2"), (-61.0, "−1:01.0"), (3725.0, "1:02:05")],
)
def test_moments_keep_a_width_that_fits_a_label(t_s, text):
    assert words.moment(t_s) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (2.5e-4, "2.5e−4"),
        (8.85e-5, "8.85e−5"),
        (-0.25, "−0.25"),
        (3000, "3000"),
        (152064, "152,064"),
        (True, "True"),
        (["V", 2], "V, 2"),
        ([], "none"),
        (math.inf, "–"),
    ],
)
def test_settings_are_written_short_and_exact(value, text):
    assert words.number(value) == text


def test_control_and_direction_characters_become_visible():
    assert words.clean("a\x1b[31mred\x00\u202egnp\ud800") == "a␛[31mred␀�gnp�"
    assert words.clean("line\nnext\tcell é 漢字 👩‍🚒") == "line\nnext\tcell é 漢字 👩‍🚒"


def test_shortening_tells_how_much_there_was():
    cut = words.shorten("x" * 100_000, 400)
    assert len(cut) <= 400
    assert cut.endswith("(100,000 characters)")
    assert words.shorten("short", 400) == "short"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.2, 0.1, 0.3), "higher; the interval excludes zero"),
        (Estimate(-0.2, -0.3, -0.1), "lower; the interval excludes zero"),
        (Estimate(0.02, -0.01, 0.05), "no difference that this run can show"),
        (Estimate(0.02), "no interval, so no conclusion"),
        (Estimate(math.nan), "not measured"),
    ],
)
def test_a_verdict_says_no_more_than_the_interval(estimate, text):
    assert words.verdict(estimate) == text


def test_lists_name_the_rest_by_its_count():
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.listing(list("abcdefghij"), limit=3) == "a, b, c and 7 more"
    assert words.listing([]) == "none"


def test_stretches_of_time():
    assert words.stretch(5.73, 6.1) == "5.73 to 6.10 s"
    assert words.stretch(13.5, 13.5) == "13.5 s"
    assert words.stretch(59, 61) == "59.0 to 1:01.0"


def test_a_name_keeps_to_its_line():
    assert words.one_line("two\nlines\t\x1b[31m") == "two\u2424lines\u2409\u241b[31m"
