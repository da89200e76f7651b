import numpy as np
import pytest

from tests.video.conftest import drawn, number_of
from videoperceiver.types import Clip
from videoperceiver.video.degrade import apply, degrade
from videoperceiver.video.read import probe, read_clip
from videoperceiver.video.write import write_mp4


def test_clip_survives_with_its_times(tmp_path):
    clip = Clip(drawn(10), np.array([1.0, 1.1, 1.3, 1.35, 2, 2.5, 2.6, 2.7, 2.8, 4]), "drawn")
    again = read_clip(write_mp4(clip, tmp_path / "clip.mp4"))
    np.testing.assert_allclose(again.t_s, clip.t_s, atol=1 / 90_000)
    assert [number_of(frame) for frame in again.frames] == list(range(10))
    assert probe(tmp_path / "clip.mp4").codec == "h264"


def test_twin_is_playable(tmp_path):
    clip = Clip(drawn(6), np.arange(6) / 5, "drawn")
    twin = read_clip(write_mp4(apply(clip, degrade(6, "hold", runs=[range(2, 4)])), tmp_path / "twin.mp4"))
    assert [number_of(frame) for frame in twin.frames] == [0, 1, 1, 1, 4, 5]


def test_bare_frames_stream_at_their_rate(tmp_path):
    again = read_clip(write_mp4(iter(drawn(5)), tmp_path / "bare.mp4", fps=10))
    np.testing.assert_allclose(again.t_s, np.arange(5) / 10, atol=1e-4)


def test_odd_sizes_are_padded(tmp_path):
    again = read_clip(write_mp4(drawn(3, 47, 63), tmp_path / "odd.mp4", fps=5))
    assert again.frames.shape == (3, 48, 64, 3)


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    with pytest.raises(ValueError, match="expected one shape"):
        write_mp4([drawn(1)[0], drawn(1, 32, 32)[0]], tmp_path / "bad.mp4", fps=5)
    with pytest.raises(ValueError, match="no frame to write"):
        write_mp4([], tmp_path / "bad.mp4", fps=5)
    assert list(tmp_path.iterdir()) == []


def test_times_come_from_the_clip_or_from_fps(tmp_path):
    with pytest.raises(ValueError, match="expected bare frames with their fps"):
        write_mp4(drawn(2), tmp_path / "x.mp4")
    with pytest.raises(ValueError, match="expected bare frames with their fps"):
        write_mp4(Clip(drawn(2), np.arange(2.0), "x"), tmp_path / "x.mp4", fps=3)
