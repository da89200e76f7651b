import numpy as np
import pytest

from tests.video.conftest import drawn
from videoperceiver import stages
from videoperceiver.errors import ConfigError
from videoperceiver.types import BLANK, Clip, Degradation
from videoperceiver.video.degrade import OPERATORS, apply, degrade, replacements, with_residual


def idx(*args, **kwargs):
    degradation = degrade(*args, **kwargs)
    return None if degradation is None else list(degradation.source_idx)


def test_predecessor_copies_the_original_predecessor():
    """Trap: with t-1 in K* too, f'_t shows f_{t-1} as it was, not its replacement."""
    assert idx(6, "predecessor", keyframes_idx=[2, 3, 4]) == [0, 1, 1, 2, 3, 5]


def test_predecessor_leaves_the_first_frame():
    assert idx(4, "predecessor", keyframes_idx=[0, 2]) == [0, 1, 1, 3]
    assert idx(4, "predecessor", keyframes_idx=[0]) is None


def test_hold_replaces_the_whole_run_by_the_frame_before_it():
    assert idx(8, "hold", runs=[range(2, 5), range(6, 7)]) == [0, 1, 1, 1, 1, 5, 5, 7]


def test_hold_takes_the_frame_after_a_run_at_the_start():
    assert idx(6, "hold", runs=[range(3)]) == [3, 3, 3, 3, 4, 5]


def test_hold_never_shows_a_frame_of_a_touching_run():
    assert idx(6, "hold", runs=[range(1, 3), range(3, 5)]) == [0, 0, 0, 0, 0, 5]


def test_nothing_replaced_is_none():
    assert degrade(5, "hold") is None
    assert degrade(5, "hold", runs=[range(5)]) is None  # the event is the whole clip: nothing is left to show
    assert degrade(5, "random") is None
    assert degrade(5, "predecessor") is None
    assert degrade(1, "shuffle") is None
    assert degrade(1, "reverse") is None
    assert degrade(1, "freeze") is None


@pytest.mark.parametrize("run", [range(3, 6), range(2), range(18, 20)])
def test_random_replaces_as_many_as_hold_and_never_by_a_replaced_frame(run):
    for seed in range(200):
        degradation = degrade(20, "random", runs=[run], seed=seed)
        assert len(degradation.replaced_idx) == len(run)
        assert not {degradation.source_idx[i] for i in degradation.replaced_idx} & set(degradation.replaced_idx)
        assert degradation == degrade(20, "random", runs=[run], seed=seed)
    positions = {i for seed in range(200) for i in degrade(20, "random", runs=[run], seed=seed).replaced_idx}
    assert positions == set(range(20))


@pytest.mark.parametrize("runs", [[range(3, 6)], [range(2)], [range(18, 20)], [range(4, 5), range(6, 7), range(11, 13)]])
def test_elsewhere_replaces_as_many_as_hold_and_leaves_the_event(runs):
    event = {i for run in runs for i in run}
    seen = set()
    for seed in range(300):
        degradation = degrade(20, "elsewhere", runs=runs, seed=seed)
        assert len(degradation.replaced_idx) == len(event)
        assert not event & set(degradation.replaced_idx)
        assert not event & {degradation.source_idx[i] for i in degradation.replaced_idx}
        assert degradation == degrade(20, "elsewhere", runs=runs, seed=seed)
        seen |= set(degradation.replaced_idx)
    assert seen == {i for i in range(1, 20) if not event & {i - 1, i}}


def test_elsewhere_replaces_what_there_is():
    assert degrade(6, "elsewhere", runs=[range(1, 5)]) is None
    assert degrade(7, "elsewhere", runs=[range(1, 5)]).replaced_idx == (6,)


def test_whole_clip_operators():
    assert idx(4, "reverse") == [3, 2, 1, 0]
    assert idx(4, "blank") == [BLANK] * 4
    assert idx(4, "freeze") == [0] * 4
    assert idx(5, "freeze", runs=[range(2, 4)]) == [1] * 5
    assert idx(5, "freeze", runs=[range(2)]) == [2] * 5
    for seed in range(50):
        assert sorted(idx(3, "shuffle", seed=seed)) == [0, 1, 2]
        assert idx(2, "shuffle", seed=seed) == [1, 0]


def test_the_seed_is_kept_where_it_matters():
    assert degrade(9, "random", runs=[range(2, 3)], seed=5).seed == 5
    assert degrade(9, "hold", runs=[range(2, 3)], seed=5).seed == 0


def test_apply_rebuilds_the_twin_from_the_index_map():
    clip = Clip(drawn(5), np.array([0.0, 0.5, 1.0, 2.0, 3.0]), "drawn")
    twin = apply(clip, Degradation("hold", (0, 0, BLANK, 3, 3)))
    for i, j in enumerate((0, 0, None, 3, 3)):
        np.testing.assert_array_equal(twin.frames[i], 127 if j is None else clip.frames[j])
    np.testing.assert_array_equal(twin.t_s, clip.t_s)
    np.testing.assert_array_equal(clip.frames, drawn(5))  # V itself is untouched


def test_apply_refuses_another_clips_degradation():
    with pytest.raises(ValueError, match="has 5 frames, its degradation 2"):
        apply(Clip(drawn(5), np.arange(5.0), "drawn"), Degradation("hold", (0, 0)))


def test_residual_is_the_relevance_left_in_replaced_frames():
    degradation = Degradation("hold", (0, 1, 1, 1, 4))
    checked = with_residual(degradation, np.array([0.9, 0.1, 0.8, 0.7, 0.0]), np.array([0.9, 0.1, 0.1, 0.2, 0.0]), threshold=0.2)
    assert checked.residual == pytest.approx(0.2)  # frame 0 is not replaced, so its 0.9 does not count
    assert checked.change == pytest.approx(0.7)
    assert checked.removed is True
    assert with_residual(degradation, np.zeros(5), np.array([0, 0, 0, 0.3, 0]), threshold=0.2).removed is False


def test_replacements_say_what_from_where_and_when():
    found = replacements(Degradation("hold", (0, 0, 0, 3, BLANK, 5)), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    assert [(r.start_s, r.end_s, r.num_frames, r.from_s) for r in found] == [(0.5, 1.0, 2, 0.0), (2.0, 2.0, 1, None)]


def test_bad_requests():
    with pytest.raises(ConfigError, match="operator 'blur' is unknown; expected one of hold, predecessor"):
        degrade(4, "blur")
    with pytest.raises(ValueError, match=r"got key frames in 2\.\.4 for a clip of 4 frames"):
        degrade(4, "hold", runs=[range(2, 5)])


def test_an_operator_must_return_an_index_map(monkeypatch):
    monkeypatch.setitem(OPERATORS, "broken", lambda num_frames, runs, keyframes_idx, rng: np.full(num_frames, num_frames))
    with pytest.raises(ConfigError, match="operator 'broken' gave indices"):
        degrade(3, "broken")
    monkeypatch.setitem(OPERATORS, "broken", lambda num_frames, runs, keyframes_idx, rng: runs[0])
    with pytest.raises(ConfigError, match="operator 'broken' raised IndexError"):
        degrade(3, "broken")


def test_recipes_know_the_same_operators():
    assert tuple(OPERATORS) == stages.OPERATORS


def test_an_operator_of_ones_own(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("import numpy as np\n\ndef last(num_frames, runs, keyframes_idx, rng):\n    return np.full(num_frames, num_frames - 1)\n")
    made = degrade(3, f"{own}:last", seed=7)
    assert made == Degradation(f"{own}:last", (2, 2, 2), seed=7)
    with pytest.raises(ConfigError, match="has no function 'first'"):
        degrade(3, f"{own}:first")
