"""Rendered files: exact events survive encoding, samples describe them, pairs differ by their cues."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from videoperceiver.lab import tasks
from videoperceiver.lab.dataset import clip_seed, render_dataset, scene_of
from videoperceiver.lab.difficulty import DIFFICULTIES, Difficulty
from videoperceiver.lab.render import render
from videoperceiver.video.keyframes import from_spans
from videoperceiver.video.read import read_clip


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """40 faint clips: (folder, samples)."""
    folder = tmp_path_factory.mktemp("lab") / "faint"
    return folder, render_dataset(folder, num_clips=40, seed=0, split="test", difficulty="faint")


def decoded(folder, sample):
    return read_clip(folder / sample.video, t_s=sample.t_s).frames


def test_the_same_call_writes_the_same_bytes(tmp_path, faint):
    _, samples = faint
    again = render_dataset(tmp_path / "faint", num_clips=5, seed=0, split="test", difficulty="faint")
    assert again == samples[:5]
    assert all(hashlib.sha256((tmp_path / "faint" / sample.video).read_bytes()).hexdigest() == sample.sha256 for sample in again)


def test_decoding_gives_back_what_was_drawn_every_time(faint):
    folder, samples = faint
    for sample in samples[:5]:
        frames, drawn = decoded(folder, sample), render(scene_of(sample).scene)
        assert np.array_equal(frames, decoded(folder, sample))
        assert frames.shape == drawn.shape
        assert np.abs(frames.astype(int) - drawn).mean() < 0.6  # the rounding of colour conversion, no more
        assert read_clip(folder / sample.video).t_s.tolist() == list(sample.t_s)


def test_spans_give_exactly_the_event_frames_of_the_decoded_clip(tmp_path, faint):
    folder, samples = faint
    odd_rate = render_dataset(tmp_path / "odd", num_clips=3, seed=0, split="test", difficulty=Difficulty(fps=29.97, num_frames=40))
    for where, sample in [*((folder, sample) for sample in samples), *((tmp_path / "odd", sample) for sample in odd_rate)]:
        level = None if where == folder else Difficulty(fps=29.97, num_frames=40)
        times_s = read_clip(where / sample.video).t_s
        assert from_spans(times_s, sample.spans).tolist() == list(tasks.event_frames(scene_of(sample, level).scene))


def prominence(frames, scene, event, where):
    """How far a region's mean in an event's first frame is from its mean without events, over the largest such distance in a quiet frame."""
    scenery = render(replace(scene, events=(), noise=0.0)).astype(float)
    means = (frames - scenery)[:, where].mean(1)  # (T, 3)
    quiet = np.setdiff1d(np.arange(len(frames)), tasks.event_frames(scene))
    away = np.linalg.norm(means - means[quiet].mean(0), axis=1)
    return away[event.start] / away[quiet].max()


def test_faint_events_stand_out_of_decoded_noise(tmp_path):
    """Flashes over the whole frame, pops over their disc: 5 and 2.5 times the worst quiet frame in every clip, under noise the presets do not have."""
    noisy, folder = replace(DIFFICULTIES["faint"], noise=1.5), tmp_path / "noisy"
    rows, columns = np.mgrid[:32, :32] + 0.5
    for sample in render_dataset(folder, num_clips=40, seed=0, split="test", difficulty=noisy):
        scene, frames = scene_of(sample, noisy).scene, decoded(folder, sample)
        pop = scene.of_kind("pop")[0]
        assert prominence(frames, scene, pop, np.hypot(columns - pop.x_px, rows - pop.y_px) < 3) > 2.5, sample.id
        for flash in scene.of_kind("flash"):
            assert prominence(frames, scene, flash, np.ones((32, 32), bool)) > 5, sample.id


def test_samples_say_what_they_are(faint):
    _, samples = faint
    sample = samples[7]
    assert (sample.id, sample.video, sample.split, sample.source) == ("faint-000007", "clips/000007.mp4", "test", "TransientEvents-v1")
    assert [question.family for question in sample.questions] == list(tasks.DEMO_FAMILIES)
    assert [question.static for question in sample.questions] == [False] * 5 + [True]
    assert sample.keywords == tasks.phrases(scene_of(sample).scene)
    assert sample.tags["pair"] == "test-0-000007"
    assert sample.tags["cue"] == "independent"
    assert {one.tags["parity"] for one in samples} == {"even", "odd"}
    assert sample.seed == clip_seed(0, "test", 7) < 2**63
    assert len({one.seed for one in samples}) == 40


def test_agreeing_and_conflicting_files_are_pairs(tmp_path):
    agree, conflict = (render_dataset(tmp_path / cue, num_clips=6, seed=1, split="validation", cue=cue) for cue in ("agree", "conflict"))
    for a, b in zip(agree, conflict, strict=True):
        assert a.tags["pair"] == b.tags["pair"]
        assert a.id != b.id
        assert (a.spans, a.keywords, a.seed) == (b.spans, b.keywords, b.seed)
        for qa, qb in zip(a.questions[:5], b.questions[:5], strict=True):
            assert qa == qb
            assert a.tags[f"hint/{qa.family}"] == qa.answer
            assert b.tags[f"hint/{qb.family}"] != qb.answer
        assert not np.array_equal(decoded(tmp_path / "agree", a), decoded(tmp_path / "conflict", b))


def test_options_can_be_spelled_out(tmp_path):
    sample = render_dataset(tmp_path / "listed", num_clips=1, seed=0, split="train", list_options=True)[0]
    assert sample.questions[0].text.endswith("? red , green , blue or yellow ?")
