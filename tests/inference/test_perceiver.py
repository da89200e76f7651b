"""Ask, describe, find on drawn videos: the frames chosen, the evidence, the plain path behind each number."""

from itertools import pairwise

import numpy as np
import pytest

from videoperceiver.errors import ConfigError, SampleError, VideoReadError
from videoperceiver.inference.look import choose_times
from videoperceiver.inference.moments import candidates
from videoperceiver.inference.perceiver import FIND_PROMPT, VideoPerceiver
from videoperceiver.inference.survey import Survey, survey
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import generate
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.video.degrade import apply
from videoperceiver.video.read import read_clip

QUESTIONS = ["what colour is the flash ?", "how many flashes are there ?"]


def video(num_frames: int, at: dict[int, int], size_px: int = 32) -> np.ndarray:
    """(T, H, W, 3) still noise that flashes to a grey level at the given frames."""
    frames = np.broadcast_to(np.random.default_rng(0).integers(60, 100, (size_px, size_px, 3), np.uint8), (num_frames, size_px, size_px, 3)).copy()
    for frame, level in at.items():
        frames[frame] = level
    return frames


@pytest.fixture(scope="module")
def perceiver(tmp_path_factory) -> VideoPerceiver:
    words = [*VOCABULARY, *(w for w in FIND_PROMPT.format(event="a red flash").split() if w not in VOCABULARY)]
    folder = build_tiny(tmp_path_factory.mktemp("ask") / "tiny", words, seed=1)
    return VideoPerceiver.load(folder, relevance="motion", keywords=lambda texts: [("flash",) for _ in texts], max_frames=16, max_new_tokens=5)


def test_several_questions_answer_as_each_alone(perceiver, clip_file):
    path = clip_file(video(16, {6: 250}), 4)
    together = perceiver.ask(path, QUESTIONS)
    alone = [perceiver.ask(path, question)[0] for question in QUESTIONS]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.question for a in together] == QUESTIONS
    assert together[0].looked.t_s.tolist() == pytest.approx([i / 4 for i in range(16)])
    assert not together[0].looked.focused


def test_evidence_is_the_answer_on_a_plain_degraded_clip(perceiver, clip_file):
    path = clip_file(video(16, {6: 250, 7: 250}), 4)
    [answer] = perceiver.ask(path, QUESTIONS[0], explain=True)
    evidence = answer.evidence
    assert evidence is not None
    assert evidence.degradation is not None
    assert {6, 7} <= set(evidence.degradation.replaced_idx)
    plain = apply(evidence.clip, evidence.degradation)  # V' as a clip of its own, without any sharing
    logps = []
    for clip in (evidence.clip, plain):
        builder = TreeBuilder(perceiver.backbone, clip)
        leaf = builder.question(builder.video(), QUESTIONS[0])
        [[[said]]] = generate(perceiver.backbone, [builder.tree()], [[leaf]], num_generations=1, max_new_tokens=5, temperature=0.0, seed=0)
        assert said.text == (answer.text if clip is evidence.clip else evidence.answer)
        if clip is evidence.clip:
            ids = said.token_ids
        builder.answer(leaf, ids)
        logps.append(perceiver.backbone([builder.tree()]).logps.sum().item())
    assert (evidence.logp, evidence.logp_degraded) == pytest.approx(logps, abs=1e-4)
    assert evidence.changed == (answer.text.casefold() != evidence.answer.casefold())


def test_a_still_video_has_no_evidence_to_leave_out(perceiver, clip_file):
    [answer] = perceiver.ask(clip_file(video(8, {}), 4), QUESTIONS[0], explain=True)
    assert answer.evidence is not None
    assert answer.evidence.degradation is None
    assert answer.evidence.changed is None


def test_a_long_video_is_looked_at_where_it_matters(perceiver, clip_file):
    path = clip_file(video(240, {150: 250, 151: 250}), 4)  # a minute, 16 frames allowed
    [answer] = perceiver.ask(path, QUESTIONS[0])
    looked = answer.looked
    assert looked.focused
    assert len(looked.t_s) <= 16
    assert looked.t_s[0] < 5
    assert looked.t_s[-1] > 55  # even over the whole
    assert ((looked.t_s >= 36.5) & (looked.t_s <= 38.75)).sum() >= 6  # and dense around the flash at 37.5 s


def test_chosen_times_hold_the_budget_and_both_halves():
    t_s = np.arange(0, 600, 0.5)
    scores = np.exp(-((t_s - 321.0) ** 2)).astype(np.float32)
    times = choose_times(Survey(t_s, scores, True), fps=4, max_frames=64)
    assert len(times) == 64
    assert (np.diff(times) > 0).all()
    assert np.ptp(times) > 590
    assert ((times > 316) & (times < 326)).sum() >= 30
    short = choose_times(Survey(np.arange(0, 4, 0.5), np.ones(8, np.float32), True), fps=4, max_frames=64)
    assert short == pytest.approx(np.arange(0, 3.51, 0.25))


def test_candidates_are_the_highest_peaks_apart():
    t_s = np.arange(0, 60, 0.5)
    scores = (np.exp(-((t_s - 10) ** 2)) + 0.5 * np.exp(-((t_s - 40) ** 2) / 4)).astype(np.float32)
    first, second = candidates(Survey(t_s, scores, True), 5)
    assert (first.peak_s, second.peak_s) == (10.0, 40.0)
    assert (first.score, second.score) == pytest.approx((1.0, 0.5), abs=1e-3)
    half_width_s = np.sqrt(np.log(2))  # where exp(-x^2) is a half
    assert (first.start_s, first.end_s) == pytest.approx((10 - half_width_s, 10 + half_width_s), abs=0.15)
    assert candidates(Survey(t_s, np.zeros(120, np.float32), True), 5) == []


def test_surveys_grow_and_the_first_comes_early(clip_file):
    path = clip_file(video(240, {30: 250}), 4)
    found = list(survey(path, ("flash",), load_relevance("motion"), fps=2))
    assert [f.complete for f in found] == [False] * (len(found) - 1) + [True]
    assert found[0].t_s[-1] < 30  # before half of the minute is read
    assert len(found[-1].t_s) == 120
    clip = read_clip(path, fps=2)
    assert found[-1].scores == pytest.approx(load_relevance("motion")(clip.frames, ("flash",), clip.t_s), abs=2e-3)


def test_find_ranks_by_the_model_and_says_what_it_saw(perceiver, clip_file):
    path = clip_file(video(160, {40: 250, 41: 250, 120: 200, 121: 200}), 4)
    *partial, last = perceiver.find(path, "a red flash", top=2)
    assert partial
    assert all(m.probability is None for f in partial for m in f.moments)
    assert last.complete
    assert len(last.moments) == 2
    assert [m.score for m in last.moments] == sorted((m.score for m in last.moments), reverse=True)
    assert sorted(m.peak_s for m in last.moments) == pytest.approx([10, 30], abs=0.6)
    for moment in last.moments:
        assert moment.score == moment.probability
        clip = read_clip(path, fps=min(4, 8 / (moment.end_s - moment.start_s + 2)), span=(max(0, moment.start_s - 1), moment.end_s + 1))
        assert len(clip) <= 16
        builder = TreeBuilder(perceiver.backbone, clip)
        question = builder.question(builder.video(), FIND_PROMPT.format(event="a red flash"))
        for word in ("yes", "no"):
            builder.answer(question, word)
        logps = perceiver.backbone([builder.tree()]).logps.reshape(2, -1).sum(1).exp()
        assert moment.probability == pytest.approx((logps[0] / logps.sum()).item(), abs=1e-5)


def test_find_without_a_model_ranks_by_relevance(clip_file):
    finder = VideoPerceiver(None, relevance="motion", keywords=lambda texts: [()] * len(texts))
    *_, found = finder.find(clip_file(video(160, {40: 250, 41: 250}), 4), "a flash")
    assert found.moments[0].peak_s == pytest.approx(10, abs=0.6)
    assert found.moments[0].score == found.moments[0].relevance == 1.0
    with pytest.raises(ConfigError, match="needs a model"):
        finder.ask(clip_file(video(8, {}), 4), "what ?")


def test_describe_covers_the_video_in_stretches(perceiver, clip_file):
    parts = list(perceiver.describe(clip_file(video(40, {3: 250}), 4), prompt="describe the video ."))
    assert [(round(p.start_s), round(p.end_s)) for p in parts] == [(0, 4), (4, 8), (8, 10)]
    assert sum(p.num_frames for p in parts) == 40


@pytest.mark.parametrize("questions", ["", "   ", [], ["what ?", ""]])
def test_empty_questions_are_refused(perceiver, clip_file, questions):
    with pytest.raises(SampleError, match="empty question"):
        perceiver.ask(clip_file(video(8, {}), 4), questions)


def test_bad_input_is_told(perceiver, tmp_path, clip_file):
    with pytest.raises(VideoReadError, match=r"nope\.mp4"):
        perceiver.ask(tmp_path / "nope.mp4", "what ?")
    with pytest.raises(SampleError, match="empty event"):
        next(iter(VideoPerceiver(None, relevance="motion", keywords=lambda texts: [()]).find(clip_file(video(8, {}), 4), " ")))
    with pytest.raises(ConfigError, match="even number"):
        VideoPerceiver(None, max_frames=7)


def test_frames_too_large_for_memory_are_shrunk_while_read(perceiver, clip_file, monkeypatch):
    monkeypatch.setattr("videoperceiver.inference.perceiver._READ_BYTES", 3 * 16 * 16 * 16)
    path = clip_file(video(8, {}), 4)
    assert perceiver._side(path, None) == 16
    [answer] = perceiver.ask(path, QUESTIONS[0], explain=True)
    assert answer.evidence.clip.frames.shape[1:3] == (16, 16)


def test_a_stream_ends_in_the_answers_of_ask(perceiver, clip_file):
    path = clip_file(video(16, {6: 250, 7: 250}), 4)
    *parts, last = perceiver.stream(path, QUESTIONS, explain=True)
    told = perceiver.ask(path, QUESTIONS, explain=True)
    assert [a.text for a in last.answers] == [a.text for a in told]
    assert [a.evidence.logp for a in last.answers] == [a.evidence.logp for a in told]
    assert 1 < len(parts) <= 5  # one a token
    for before, after in pairwise(parts):
        assert all(late.startswith(early) for early, late in zip(before.texts + before.texts_degraded, after.texts + after.texts_degraded, strict=True))
    assert last.texts_degraded == tuple(a.evidence.answer for a in told)
    assert not any(part.answers for part in parts)


def test_a_long_video_says_how_far_it_was_looked_over(perceiver, clip_file):
    parts = list(perceiver.stream(clip_file(video(240, {150: 250}), 4), QUESTIONS[0]))
    seen_s = [part.seen_s for part in parts if not part.texts]
    assert len(seen_s) == 5
    assert seen_s == sorted(seen_s)
    assert seen_s[-1] > 55


@pytest.mark.parametrize("way", ["stream", "describe"])
def test_closing_a_stream_stops_the_work(perceiver, clip_file, way):
    """The count of what the last block computed stays where it was."""
    path, calls = clip_file(video(16, {6: 250}), 4), []
    counted = perceiver.backbone.adapter.decoder.layers[-1].register_forward_hook(lambda *_: calls.append(1))
    try:
        parts = perceiver.stream(path, QUESTIONS[0]) if way == "stream" else perceiver.describe(path, prompt="describe the video .", partial=True)
        next(parts)
        begun = len(calls)
        parts.close()
        assert len(calls) == begun
        whole = list(perceiver.stream(path, QUESTIONS[0]) if way == "stream" else perceiver.describe(path, prompt="describe the video .", partial=True))
        assert len(calls) - begun > begun
        assert len(whole) > 2
    finally:
        counted.remove()
    assert not perceiver.backbone.training


def test_a_description_in_the_making_grows_to_the_whole(perceiver, clip_file):
    path = clip_file(video(16, {3: 250}), 4)
    *parts, last = perceiver.describe(path, prompt="describe the video .", partial=True)
    assert [last] == list(perceiver.describe(path, prompt="describe the video ."))
    assert parts
    assert not any(part.complete for part in parts)
    assert all(last.text.startswith(part.text) for part in parts)


def test_early_rankings_are_short_and_the_last_has_all(clip_file):
    finder = VideoPerceiver(None, relevance="motion", keywords=lambda texts: [()] * len(texts))
    path = clip_file(video(400, {f: 250 for k in range(8) for f in (40 * k + 20, 40 * k + 21)}), 4)
    *early, last = finder.find(path, "a flash", top=5)
    assert max(len(found.moments) for found in early) <= 2
    assert len(last.moments) == 5
    for moment in last.moments:
        assert moment.num_frames <= 66  # at most eight seconds at eight a second
        assert moment.thumbnail.base is None  # a picture, not the clip it was cut from


def test_a_close_look_keeps_edges_that_lie_beyond_it(clip_file):
    """Noise that grows and fades over 20 s is half as strong 5 s before and after its peak; only 4 s on both sides are read closely."""
    rng, strength = np.random.default_rng(1), 1 - np.abs(np.arange(160) / 4 - 20) / 10
    still = np.stack([(120 + rng.uniform(-100, 100, (32, 32, 3)) * max(0, s)).astype(np.uint8) for s in strength])
    finder = VideoPerceiver(None, relevance="motion", keywords=lambda texts: [()] * len(texts))
    *_, found = finder.find(clip_file(still, 4), "moves", top=1)
    [moment] = found.moments
    assert moment.num_frames <= 34
    assert (moment.start_s, moment.end_s) == pytest.approx((15, 25), abs=1)
