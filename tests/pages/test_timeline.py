import re

import numpy as np

from videoperceiver.pages import timeline
from videoperceiver.types import Span


def numbers(html: str, pattern: str) -> list[float]:
    return [float(value) for value in re.findall(pattern, html)]


def test_key_frames_sit_on_the_curve_at_their_time():
    html = str(timeline([0, 1, 2, 3, 4], [0.0, 0.0, 1.0, 0.0, 0.0], [2]))
    assert numbers(html, r'<circle class="keyframe" cx="([\d.]+)%') == [50.0]
    peak = min(float(pair.split(",")[1]) for pair in re.search(r'class="line" points="([^"]+)"', html)[1].split())
    assert abs(numbers(html, r'cy="([\d.]+)"')[0] - peak) < 0.1
    assert ">2.00 s<" in html


def test_replaced_frames_are_shaded_as_whole_stretches():
    html = str(timeline(np.arange(6.0), np.ones(6), [], replaced_idx=[1, 2, 4]))
    bands = re.findall(r'class="band" x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%"', html)
    scale = 98.8 / 5
    assert [(round(float(x), 1), round(float(width), 1)) for x, width in bands] == [
        (round(0.6 + 0.5 * scale, 1), round(2 * scale, 1)),
        (round(0.6 + 3.5 * scale, 1), round(scale, 1)),
    ]


def test_events_outside_the_sampled_times_widen_the_axis():
    html = str(timeline([1.0, 2.0], [0.1, 0.2], [], [Span(0.0, 0.5, "before"), Span(3.0, 4.0, "after")]))
    edges = numbers(html, r'class="event" x="([\d.]+)%')
    assert min(edges) >= 0
    assert max(numbers(html, r'(?:cx|x|x1|x2)="([\d.]+)%"')) <= 100


def test_labels_of_events_never_share_a_place():
    spans = [Span(k / 10, k / 10 + 0.05, "an event with a rather long label") for k in range(8)]
    html = str(timeline(np.linspace(0, 1, 9), np.ones(9), [], spans))
    rows = re.findall(r'class="event" x="[\d.]+%" y="(\d+)"', html)
    assert len(set(rows)) >= 3  # at a label of a third of the width, no more than three fit side by side


def test_without_scores_only_time_is_drawn():
    html = str(timeline([0, 1, 2], [], [1], [Span(0.5, 1.5, "event")]))
    assert 'class="line"' not in html
    assert 'class="keyframe"' in html


def test_a_single_frame_has_a_timeline():
    html = str(timeline([3.0], [0.5], [0]))
    assert 'cx="50.000%"' in html
    assert "nan" not in html


def test_missing_relevance_breaks_the_curve_and_long_clips_stay_small():
    scores = np.random.default_rng(0).random(7_200)
    scores[100] = np.nan
    html = str(timeline(np.arange(7_200) / 2, scores, [5_000]))
    assert len(html) < 30_000
    assert html.count('class="line"') >= 1
    assert "nan" not in html


def test_long_clips_have_a_clock_for_an_axis():
    html = str(timeline([60.0, 90.0, 150.0], [0.1, 0.2, 0.1], [1]))
    marks = re.findall(r'text-anchor="\w+">([\d:.]+)( s)?</text>', html)
    assert [mark for mark, _ in marks if ":" in mark][:4] == ["1:30.0", "1:00", "1:15", "1:30"]  # the key frame's label, then the axis
    assert "s</text>" not in html
