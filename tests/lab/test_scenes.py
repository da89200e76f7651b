"""What is drawn: answers balanced, events as brief as asked on even and odd frames alike, cues as reliable as asked and unrelated otherwise."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from videoperceiver.errors import ConfigError
from videoperceiver.lab import accidents, signals, tasks
from videoperceiver.lab.difficulty import DIFFICULTIES, Difficulty, boundaries, difficulty_named
from videoperceiver.lab.scenes import draw

NUM = 1000
STORY_MODULES = {"faint": signals, "accident": accidents}


@pytest.fixture(scope="module", params=list(STORY_MODULES))
def drawn(request):
    """(story module, scenes and hints with shortcut cues, their facts)."""
    scenes = [draw(seed, DIFFICULTIES[request.param], cue="shortcut", reliability=0.85) for seed in range(NUM)]
    return STORY_MODULES[request.param], scenes, [tasks.facts_of(one.scene) for one in scenes]


def test_the_events_have_the_answers_they_were_drawn_for_in_equal_shares(drawn):
    story, _, facts = drawn
    for family, options in story.ANSWERS.items():
        shares = Counter(fact[family] for fact in facts)
        assert set(shares) == set(options)
        expected = NUM / len(options)
        assert all(abs(count - expected) < 4 * np.sqrt(expected) for count in shares.values()), (family, shares)


def test_shortcut_cues_are_right_as_often_as_asked(drawn):
    story, scenes, facts = drawn
    for family in story.ANSWERS:
        right = np.mean([one.hints[family] == fact[family] for one, fact in zip(scenes, facts, strict=True)])
        assert right == pytest.approx(0.85, abs=4 * np.sqrt(0.85 * 0.15 / NUM)), family


def test_no_cue_and_no_answer_tells_another_familys_answer(drawn):
    story, scenes, facts = drawn
    for family, options in story.ANSWERS.items():
        for other in story.ANSWERS:
            if other == family:
                continue
            for source in ([one.hints[other] for one in scenes], [fact[other] for fact in facts]):
                groups = defaultdict(Counter)
                for told, fact in zip(source, facts, strict=True):
                    groups[told][fact[family]] += 1
                guess = sum(max(counter.values()) for counter in groups.values()) / NUM  # the best rule in hindsight
                assert guess < 1 / len(options) + 0.075, (family, other)


@pytest.mark.parametrize(("cue", "low", "high"), [("agree", 1, 1), ("conflict", 0, 0), ("independent", 0.28, 0.39)])
def test_cue_kinds(cue, low, high):
    scenes = [draw(seed, DIFFICULTIES["faint"], cue=cue) for seed in range(300)]
    right = [one.hints[family] == tasks.facts_of(one.scene)[family] for one in scenes for family in signals.ANSWERS]
    assert low <= np.mean(right) <= high


@pytest.mark.parametrize("name", ["faint", "crowded", "moving", "accident"])
def test_a_pair_differs_by_its_cues_only(name):
    for seed in range(30):
        agree, conflict = (draw(seed, DIFFICULTIES[name], split="test", cue=cue) for cue in ("agree", "conflict"))
        assert agree.scene != conflict.scene
        recoloured = replace(agree.scene.things[0], colour=conflict.scene.things[0].colour)
        same = replace(agree.scene, tint=conflict.scene.tint, strips=conflict.scene.strips, things=(recoloured, *agree.scene.things[1:]))
        assert same == conflict.scene
        facts = [tasks.facts_of(one.scene) | {"object_colour": "", "caption": "".join(tasks.phrases(one.scene))} for one in (agree, conflict)]
        assert facts[0] == facts[1]


@pytest.mark.parametrize("name", ["bright", "brief", "faint", "accident"])
def test_events_start_on_even_and_odd_frames_equally(name):
    parities = defaultdict(list)
    for seed in range(1200):
        for event in draw(seed, DIFFICULTIES[name]).scene.events:
            parities[event.kind, event.length].append(event.start % 2)
    assert {length for _, length in parities} == set(DIFFICULTIES[name].lengths)
    if name == "accident":  # a cause follows from its hit, at a distance that is even or odd
        parities = {key: values for key, values in parities.items() if key[0] == "hit"}
    for key, values in parities.items():
        assert np.mean(values) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(values)) + 0.015), (name, key)


def test_events_leave_a_clean_frame_between_flashes_and_never_overlap():
    for name in ("bright", "mixed", "accident", "long"):
        level = DIFFICULTIES[name]
        for seed in range(300):
            scene = draw(seed, level).scene
            covered = [frame for event in scene.events for frame in range(event.start, event.start + event.length)]
            assert len(covered) == len(set(covered))
            assert 0 <= min(covered) <= max(covered) < level.num_frames
            flashes = scene.of_kind("flash")
            assert all(b.start - (a.start + a.length) >= 1 for a, b in pairwise(flashes))


def test_splits_share_no_event_specification():
    seen = {}
    for split in ("train", "validation", "test"):
        scenes = [draw(seed, DIFFICULTIES["faint"], split=split).scene for seed in range(330)]
        seen[split] = {tuple((e.kind, e.start, e.length, e.colour, e.x_px, e.y_px) for e in scene.events) for scene in scenes}
        answers = Counter(tasks.facts_of(scene)["count"] for scene in scenes)
        assert min(answers.values()) > 75  # dividing the specifications leaves the answers balanced
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]


def test_long_clips_have_one_percent_of_event_frames():
    shares = [len(tasks.event_frames(draw(seed, DIFFICULTIES["long"]).scene)) / 300 for seed in range(300)]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.0006)


def test_motions_can_be_chosen():
    level = Difficulty(motions=("up", "circle"))
    assert {tasks.facts_of(draw(seed, level).scene)["motion"] for seed in range(30)} == {"up", "circle"}


def test_boundaries_leave_as_many_early_as_late_frames():
    for num_frames in (16, 17, 64, 300):
        early, late = boundaries(num_frames)
        assert 0 < early < late < num_frames
        assert early == num_frames - late


def test_unknown_presets_and_impossible_difficulties_are_refused():
    with pytest.raises(ConfigError, match=r"'fain'.*faint"):
        difficulty_named("fain")
    with pytest.raises(ConfigError, match="16 frames"):
        Difficulty(num_frames=8)
    with pytest.raises(ConfigError, match="lengths"):
        Difficulty(lengths=(4,))
    assert difficulty_named(DIFFICULTIES["dim"]) is DIFFICULTIES["dim"]
