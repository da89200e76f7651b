import numpy as np
import pytest

from videoperceiver.types import Span
from videoperceiver.video.sparsify import sparse_times


def test_share_is_reached_by_sampling_the_rest_denser():
    grid_s = np.arange(600) / 30  # 20 s at 30 fps
    t_s, before, after = sparse_times(grid_s, [Span(10.0, 10.9)], base_fps=1)
    assert before == pytest.approx(1 / 21)  # 10 + 1 + 10 frames: 11 s to 20 s, and one at the event's start
    assert after == before <= 0.05  # already rare: nothing to do
    assert len(t_s) == 21

    t_s, before, after = sparse_times(grid_s, [Span(10.0, 13.0)], base_fps=1)
    inside = (t_s >= 10) & (t_s <= 13)
    assert before == pytest.approx(4 / 21)
    assert inside.sum() == 4  # the event keeps its frames
    assert after == pytest.approx(4 / len(t_s))
    assert after <= 0.05
    assert np.diff(t_s[~inside]).min() == pytest.approx(1 / 4.75, abs=1 / 30)  # 80 frames over 17 s; the lowest rate that reaches it, not 8


def test_a_share_out_of_reach_is_told():
    t_s, before, after = sparse_times(np.arange(90) / 30, [Span(0.5, 2.5)], base_fps=4, dense_fps=8)
    assert before > after > 0.05
    assert (np.diff(t_s) > 0).all()


def test_all_times_are_frames_of_the_source():
    grid_s = np.cumsum(np.random.default_rng(0).choice([0.02, 0.3], 200))
    t_s, _, _ = sparse_times(grid_s, [Span(5, 6)], base_fps=1)
    assert np.isin(t_s, grid_s).all()
    assert (np.diff(t_s) > 0).all()


def test_every_event_is_sampled_at_least_once():
    grid_s = np.arange(300) / 30
    spans = [Span(1.4, 1.5), Span(7.77, 7.8)]
    t_s, _, _ = sparse_times(grid_s, spans, base_fps=1)
    for span in spans:
        assert ((t_s >= span.start_s) & (t_s <= span.end_s)).sum() == 1


def test_without_events_nothing_changes():
    t_s, before, after = sparse_times(np.arange(300) / 30, [], base_fps=2)
    assert (before, after, len(t_s)) == (0, 0, 20)


@pytest.mark.parametrize("options", [{"base_fps": 0}, {"base_fps": 9}, {"base_fps": 1, "target_share": 0}])
def test_bad_requests(options):
    with pytest.raises(ValueError, match="expected 0 < base <= dense"):
        sparse_times(np.arange(30) / 30, [], **options)
