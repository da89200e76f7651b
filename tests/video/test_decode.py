"""Which packets have to be decoded for some pictures, by hand."""

import time

import numpy as np

from videoperceiver.video.decode import plan
from videoperceiver.video.packets import PacketIndex


def index(pts, keys):
    pts = np.array(pts)
    return PacketIndex(pts, pts, np.ones_like(pts), np.isin(np.arange(len(pts)), keys), False, np.sort(pts), 0.1)


def planned(pts, keys, ticks):
    return [(s.start, s.stop, s.ticks) for s in plan(index(pts, keys), np.array(ticks))]


def test_each_group_is_entered_at_its_key_picture_and_left_at_the_last_wanted_one():
    pts, keys = [0, 3, 1, 2, 4, 7, 5, 6, 8, 11, 9, 10], [0, 4, 8]
    assert planned(pts, keys, [1]) == [(0, 3, [1])]
    assert planned(pts, keys, [1, 10]) == [(0, 3, [1]), (8, 12, [10])]  # the group between is never decoded
    assert planned(pts, keys, [1, 3]) == [(0, 3, [1, 3])]
    assert planned(pts, keys, range(12)) == [(0, 12, list(range(12)))]


def test_a_picture_shown_before_its_key_picture_needs_the_group_before():
    """Open groups: 3 and 4 are stored after the key picture 5, and refer to the group before it."""
    pts, keys = [0, 2, 1, 5, 3, 4, 6], [0, 3]
    assert planned(pts, keys, [4]) == [(0, 6, [4])]
    assert planned(pts, keys, [4, 5, 6]) == [(0, 7, [4, 5, 6])]
    assert planned(pts, keys, [5]) == [(3, 4, [5])]


def test_a_stream_without_key_pictures_is_decoded_from_its_start():
    assert planned([0, 1, 2], [], [2]) == [(0, 3, [2])]


def test_two_hours_are_planned_in_a_moment():
    start_s = time.process_time()
    (stretch,) = plan(index(np.arange(216_000), np.arange(0, 216_000, 250)), np.arange(216_000))
    assert (stretch.start, stretch.stop, len(stretch.ticks)) == (0, 216_000, 216_000)
    assert time.process_time() - start_s < 5
