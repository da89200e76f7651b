import numpy as np
import pytest

from tests.pages.hostile import HOSTILE
from videoperceiver.pages import keyframes_page, keyframes_words
from videoperceiver.types import Span


def test_the_page_says_when_what_and_what_v_prime_shows(make_clip, check_page):
    html = keyframes_page(make_clip(), seconds={"read": 0.4, "relevance": 3.2}, facts={"relevance": "motion (proxy)"})
    check_page(html)
    assert "1 key frame: 2.00 s" in html
    assert "the frame of 1.75 s" in html
    assert "V′ replaces 1 of 16 frames (6\u00a0%)" in html
    assert "motion (proxy)" in html
    assert "3.60 s" in html


@pytest.mark.parametrize("removed", [True, False, None])
def test_the_residual_check_is_told_as_it_came_out(make_clip, removed):
    html = keyframes_page(make_clip(removed=removed))
    assert ("residual check holds" in html, "residual check fails" in html) == (removed is True, removed is False)


def test_no_key_frame_and_no_v_prime_is_said_plainly(make_clip, check_page):
    html = keyframes_page(make_clip(keyframes_idx=(), runs=(), source_idx=(), degraded_scores=(), spans=()))
    check_page(html)
    assert "No key frame stands out" in html
    assert "Nothing was replaced, so this clip has no V′." in html


def test_hostile_names_are_text(make_clip, check_page):
    html = keyframes_page(
        make_clip(title=HOSTILE, keywords=(HOSTILE,), spans=(Span(0, 1, HOSTILE),), note=HOSTILE, relevance=HOSTILE, operator=HOSTILE), facts={HOSTILE: HOSTILE}
    )
    check_page(html)
    assert "alert(1)&lt;/script&gt;" in html


def test_annotated_events_are_counted_against_key_frames(make_clip):
    clip = make_clip(spans=(Span(1.9, 2.1, "hit"), Span(0.0, 0.2, "missed")))
    assert keyframes_words(clip)[-1] == "1 of 2 annotated events holds a key frame; 1 of 1 key frame lies in one."


@pytest.mark.parametrize("fields", [{"num_frames": 1}, {"num_frames": 2, "height": 90, "width": 160}, {"num_frames": 3, "height": 160, "width": 90}])
def test_the_shortest_clips_have_a_page(make_clip, check_page, fields):
    check_page(keyframes_page(make_clip(**fields)))


def test_an_hour_at_two_frames_a_second_stays_small(make_clip, check_page):
    num = 7_200
    kept = [*range(0, num, 300), 3_599, num - 1]
    frames = np.random.default_rng(0).integers(0, 255, (len(kept), 99, 176, 3), dtype=np.uint8)
    source = list(range(num))
    source[3_600] = 3_599
    clip = make_clip(frames=frames, frames_idx=kept, t_s=np.arange(num) / 2, scores=np.random.default_rng(1).random(num), degraded_scores=(), source_idx=source)
    html = keyframes_page(make_clip(**{name: getattr(clip, name) for name in clip.__dataclass_fields__} | {"keyframes_idx": tuple(range(0, num, 40))}))
    check_page(html)
    assert len(html) < 1_500_000
    assert "further key frames" in html
