"""data/duplicates.py: copies are left out, clips that differ in an event are not."""

import hashlib

import numpy as np
import pytest
from tests.data.drawn import changed, scene

from videoperceiver.data.duplicates import Duplicates, Likeness, groups_of
from videoperceiver.data.fingerprints import fingerprint, motion
from videoperceiver.data.splits import assign_splits
from videoperceiver.types import Question, Sample, Span


def clip(name, *, content=None, caption="", video=None, questions=(), spans=()):
    digest = hashlib.sha256((content or name).encode()).hexdigest()
    return Sample(name, video or f"{name}.mp4", digest, "train", "drawn", (), caption, tuple(questions), spans=tuple(spans))


def look(frames):
    return fingerprint(frames), motion(frames)


def ask(text, answer):
    return Question(text, text, answer, "word", "colour")


@pytest.fixture(scope="module")
def first():
    return look(scene(0))


@pytest.fixture(scope="module")
def copy():
    return look(changed(scene(0), scale=0.5, brightness=15, crop=0.02))


def test_the_same_file_elsewhere_is_a_duplicate():
    seen = Duplicates()
    assert seen.check(clip("a", caption="a ball")) == Likeness()
    assert seen.check(clip("b", content="a", caption="another caption")) == Likeness("a", 0.0, True)
    assert seen.check(clip("c")) == Likeness()


def test_several_rows_of_one_file_stay_while_they_ask_something_new():
    seen = Duplicates()
    rows = [clip(name, content="a", video="a.mp4", questions=[ask(question, "red")]) for name, question in (("1", "what?"), ("2", "where?"), ("3", "What ?"))]
    assert [seen.check(row) for row in rows] == [Likeness(), Likeness("1", 0.0, False), Likeness("1", 0.0, True)]
    assert seen.check(clip("4", content="a", video="a.mp4", questions=[ask("what?", "blue")])) == Likeness("1", 0.0, False)


def test_a_copy_encoded_otherwise_is_a_duplicate_and_another_scene_is_none(first, copy):
    seen = Duplicates()
    seen.check(clip("a", caption="a ball"), *first)
    found = seen.check(clip("b", caption="one ball"), *copy)
    assert (found.like, found.is_duplicate) == ("a", True)
    assert 0 < found.bits <= 7
    for seed in range(1, 8):
        assert seen.check(clip(f"other{seed}"), *look(scene(seed))) == Likeness()
    assert not Duplicates(max_bits=0).check(clip("a"), *first).like


def test_another_motion_in_the_same_scene_is_another_clip():
    """The pictures of a scene before a slow camera hash alike; what moves in it tells them apart."""
    base = scene(2, 24)
    still = np.repeat(base[:1], 24, axis=0)
    waves = still.copy()
    waves[6:10, 20:40, 30:60] = np.clip(waves[6:10, 20:40, 30:60].astype(int) + 30, 0, 255)
    later = still.copy()
    later[16:20, 20:40, 30:60] = np.clip(later[16:20, 20:40, 30:60].astype(int) + 30, 0, 255)
    seen = Duplicates()
    seen.check(clip("waves"), *look(waves))
    assert seen.check(clip("later"), *look(later)) == Likeness()
    assert seen.check(clip("still"), *look(still)) == Likeness()
    assert seen.check(clip("again"), *look(waves)).is_duplicate
    assert seen.check(clip("still again"), *look(changed(still, brightness=5))).like == "still"


def test_annotations_that_contradict_make_two_clips_of_it(first, copy):
    seen = Duplicates()
    event = [Span(1.0, 1.5, "flash")]
    seen.check(clip("a", questions=[ask("what colour?", "red")], spans=event), *first)
    other_time = seen.check(clip("b", spans=[Span(2.0, 2.5, "flash")]), *copy)
    other_answer = seen.check(clip("c", questions=[ask("What colour?", "blue")], spans=event), *copy)
    assert [(found.like, found.is_duplicate) for found in (other_time, other_answer)] == [("a", False), ("a", False)]
    assert seen.check(clip("d", questions=[ask("where?", "left")], spans=event), *copy).is_duplicate


def test_likes_that_stay_share_a_split(first, copy):
    seen, pairs = Duplicates(), []
    for sample, looks in ((clip("a", spans=[Span(1.0, 1.5)]), first), (clip("b", spans=[Span(2.0, 2.5)]), copy), (clip("c"), look(scene(9)))):
        pairs += groups_of(sample, seen.check(sample, *looks))
    for seed in range(20):
        found = assign_splits(pairs, {"train": 0.5, "test": 0.5}, seed)
        assert found["a"] == found["b"]
    assert len({tuple(assign_splits(pairs, {"train": 0.5, "test": 0.5}, seed).values()) for seed in range(20)}) == 4


def test_the_first_one_wins_whatever_was_added_between(first):
    seen = Duplicates()
    seen.check(clip("a"), *first)
    rng = np.random.default_rng(0)
    for i in range(700):  # beyond the first capacity
        seen.check(clip(f"n{i}"), rng.integers(1, 2**63, 8, dtype=np.uint64), rng.integers(-99, 99, 128).astype(np.int8))
    assert seen.check(clip("z"), *first) == Likeness("a", 0.0, True)


def test_a_hash_of_another_make_is_taken_as_it_is():
    seen = Duplicates()
    rows = [Sample(name, f"{name}.mp4", digest, "train", "drawn", ()) for name, digest in (("a", "md5:zz"), ("b", "md5:zy"), ("c", "md5:zz"))]
    assert [seen.check(row).like for row in rows] == ["", "", "a"]


def test_hashes_come_with_motion(first):
    with pytest.raises(ValueError, match="both or neither"):
        Duplicates().check(clip("a"), first[0])
    assert Duplicates().check(Sample("a", "a.mp4", "", "train", "drawn", ())) == Likeness()
