"""Times in a model's words, and which of them it can have seen."""

import pytest

from videoperceiver.data.annotate.times import check_seen, times_in
from videoperceiver.data.annotate.wording import UnusableError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A ball drops at 1.5 seconds.", (1.5,)),
        ("From 1.0 to 2.5 s, and again at 4s.", (1.0, 2.5, 4.0)),
        ("Between 1 and 2 seconds; at 0:07 it stops.", (7.0, 1.0, 2.0)),
        ("At 1:02:03.5 the credits begin.", (3723.5,)),
        ("He holds it for 3 seconds, and for about 2 s more.", ()),
        ("It takes 4 seconds.", ()),
        ("Two of 3 men wear number 12.", ()),
        ("The 2nd man, in second place.", ()),
        ("", ()),
    ],
)
def test_moments_are_found_and_lengths_are_none(text, expected):
    assert times_in(text) == expected


SHOWN = (0.0, 0.4, 0.8, 1.2)  # a quarter of the spacing is 0.1


@pytest.mark.parametrize("t_s", [0.0, 0.4, 0.45, 0.3, 0.54, 1.2, 1.34])
def test_a_moment_of_a_frame(t_s):
    check_seen(t_s, SHOWN)


@pytest.mark.parametrize(
    ("t_s", "kind"), [(0.6, "a time of no frame"), (0.2, "a time of no frame"), (1.5, "a time outside the clip"), (99, "a time outside the clip")]
)
def test_a_moment_of_none(t_s, kind):
    with pytest.raises(UnusableError) as caught:
        check_seen(t_s, SHOWN)
    assert caught.value.kind == kind


def test_one_frame():
    check_seen(2.0, (2.0,))
    with pytest.raises(UnusableError, match=r"from 2\.0 to 2\.0 s"):
        check_seen(2.2, (2.0,))
