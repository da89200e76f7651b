"""data/splits.py: what shows the same lands in one split, and stays there."""

from collections import Counter

import pytest

from videoperceiver.data.splits import assign_splits, spanning
from videoperceiver.errors import ConfigError

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_clips_that_share_a_group_through_others_lie_together():
    pairs = [("a", "file:1"), ("b", "file:2"), ("b", "sha:x"), ("c", "sha:x"), ("c", "file:3"), ("d", "file:3")]
    for seed in range(30):
        found = assign_splits(pairs, SHARES, seed)
        assert found["b"] == found["c"] == found["d"]
    assert len({assign_splits(pairs, SHARES, seed)["a"] == assign_splits(pairs, SHARES, seed)["b"] for seed in range(30)}) == 2  # a goes its own way


def test_shares_are_those_asked_for():
    found = Counter(assign_splits([(f"clip{i}", f"file{i}") for i in range(10_000)], SHARES, 0).values())
    assert found["train"] == pytest.approx(8_000, abs=120)  # three standard deviations
    assert found["validation"] == pytest.approx(1_000, abs=90)


def test_what_is_added_moves_nothing():
    pairs = [(f"clip{i}", f"file{i}") for i in range(500)]
    before = assign_splits(pairs, SHARES, 3)
    more = [*pairs, *((f"new{i}", f"another{i}") for i in range(500)), ("twin", "a first name"), ("twin", "file7")]
    after = assign_splits(more, SHARES, 3)
    assert {clip: after[clip] for clip in before} == before
    assert after["twin"] == before["clip7"]
    assert assign_splits(pairs, SHARES, 4) != before


def test_a_sources_own_splits_stay_and_lead_their_clusters():
    pairs = [("a", "v1"), ("a2", "v1"), ("b", "v2"), ("b2", "v2"), ("b3", "v2")]
    given = {"a": "test", "b": "train", "b2": "test"}
    found = assign_splits(pairs, {"train": 1.0}, 0, given)
    assert found == {"a": "test", "a2": "test", "b": "train", "b2": "test", "b3": "test"}
    assert spanning(pairs, found) == {"v2": {"train": ["b"], "test": ["b2", "b3"]}}


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}])
def test_shares_must_be_shares_of_one(shares):
    with pytest.raises(ConfigError, match="sum to 1"):
        assign_splits([("a", "b")], shares, 0)


def test_one_share_of_zero_takes_nothing():
    found = assign_splits([(str(i), str(i)) for i in range(200)], {"test": 0.0, "train": 1.0}, 0)
    assert set(found.values()) == {"train"}
