import numpy as np
import pytest

from videoperceiver.types import Span
from videoperceiver.video.keyframes import contiguous, find_keyframes, from_spans, runs


def test_literal_is_equation_2():
    """Strict maxima; ends against their one neighbour; a plateau has none."""
    assert find_keyframes(np.array([3, 1, 2, 1, 1, 5]), literal=True).tolist() == [0, 2, 5]
    assert find_keyframes(np.array([1, 4, 4, 1]), literal=True).tolist() == []
    assert find_keyframes(np.array([0, 0.01, 0, 9, 0]), literal=True).tolist() == [1, 3]


def test_default_needs_prominence_and_height():
    # Range 10: height at least 4, prominence at least 2.5.
    scores = np.array([0, 10, 0, 3.9, 0, 4.0, 0, 8, 6, 8.4, 0])
    # 3.9 is too low, 4.0 just high enough, 8 stands 2 above the valley that parts it from the higher 8.4.
    assert find_keyframes(scores).tolist() == [1, 5, 9]
    assert find_keyframes(scores, prominence=0.2).tolist() == [1, 5, 7, 9]
    assert find_keyframes(scores, rel_height=0.38).tolist() == [1, 3, 5, 9]


def test_plateau_counts_once_at_its_middle():
    assert find_keyframes(np.array([0, 5, 5, 5, 0, 0, 7, 7, 0])).tolist() == [2, 6]


def test_event_cut_by_an_end_peaks_there():
    assert find_keyframes(np.array([9, 5, 1, 0, 0, 8])).tolist() == [0, 5]
    assert find_keyframes(np.array([9, 9, 9, 1, 0])).tolist() == [1]


def test_flat_scores_have_no_keyframes():
    assert find_keyframes(np.full(7, 0.3)).tolist() == []
    assert find_keyframes(np.full(7, 0.3), literal=True).tolist() == []
    assert find_keyframes(np.array([0.5])).tolist() == []


def test_thresholds_scale_with_the_scores():
    scores = np.random.default_rng(0).random(50)
    np.testing.assert_array_equal(find_keyframes(scores), find_keyframes(1e-3 * scores - 4))


def test_noise_is_the_literal_trap():
    """A third of all frames of pure noise are literal maxima; on a clear event under noise the default keeps the event alone."""
    noise = np.random.default_rng(1).normal(size=3000)
    assert find_keyframes(noise, literal=True).size / 3000 == pytest.approx(1 / 3, abs=0.02)
    assert find_keyframes(noise).size < 0.7 * find_keyframes(noise, literal=True).size
    scores = 0.02 * noise[:200]
    scores[120:124] += 1
    assert find_keyframes(scores, literal=True).size > 40
    assert [120 <= k < 124 for k in find_keyframes(scores)] == [True]


@pytest.mark.parametrize("scores", [np.zeros((2, 3)), np.array([]), np.array([1.0, np.nan])])
def test_scores_must_be_one_finite_row(scores):
    with pytest.raises(ValueError, match="expected \\(T,\\) finite"):
        find_keyframes(scores)


def test_runs_reach_to_the_relative_height():
    scores = np.array([0, 3, 4, 10, 5, 3, 0, 0, 6, 6])  # height 4
    assert runs(scores, find_keyframes(scores)) == [range(2, 5), range(8, 10)]
    assert runs(scores, [1]) == [range(1, 5)]  # a key frame below the height still belongs, and touches its run
    assert runs(scores, [6]) == [range(6, 7)]
    assert runs(scores, []) == []


def test_keyframes_in_one_run_share_it():
    scores = np.array([0, 8, 5, 9, 0])
    assert runs(scores, [1, 3]) == [range(1, 4)]


def test_contiguous():
    assert contiguous([7, 2, 3, 3]) == [range(2, 4), range(7, 8)]
    assert contiguous([]) == []


def test_spans_give_the_frames_inside():
    t_s = np.arange(10) / 4  # 0, 0.25, .. 2.25
    assert from_spans(t_s, [Span(0.5, 1.0), Span(2.1, 9.0)]).tolist() == [2, 3, 4, 9]
    assert from_spans(t_s, [Span(0.55, 0.6)]).tolist() == [2]  # between two frames: the one nearest to its middle
    assert from_spans(t_s, [Span(1.0, 1.0)]).tolist() == [4]
    assert from_spans(t_s, [Span(5.0, 6.0)]).tolist() == []
    assert from_spans(t_s, []).tolist() == []
