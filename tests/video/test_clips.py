"""The real clips beside the checkout, where they are: read whole and sparsely, with the facts their list gives."""

import json

import numpy as np
import pytest

from videoperceiver.video.read import frame_times, probe, read_clip


@pytest.fixture(scope="module")
def listed(shared_dir):
    path = shared_dir / "clips" / "manifest.json"
    if not path.is_file():
        pytest.skip("no list of real clips")
    return [(shared_dir / "clips" / entry["file"], entry) for entry in json.loads(path.read_text())]


def test_every_real_clip_reads_as_listed(listed):
    for path, entry in listed:
        if path.name == "nasa_13013.mp4":  # holds two videos; the list describes the smaller one, FFmpeg and we take the larger
            continue
        times_s = frame_times(path)
        first = read_clip(path, t_s=times_s[:1], size_px=64)
        assert first.frames.shape[0] == 1, path
        info = probe(path)
        assert (info.width_px, info.height_px) == (entry["width"], entry["height"]), path
        assert times_s[-1] - times_s[0] == pytest.approx(entry["duration"], abs=max(0.15, 1.5 / entry["fps"])), path


def test_sparse_reads_of_real_clips_equal_full_ones(listed):
    for path, entry in listed:
        if entry["bytes"] > 160_000:  # the whole of the larger ones would take long
            continue
        full = read_clip(path)
        assert abs(len(full) - entry["frames"]) <= 1, path
        for request in ({"num_frames": 4}, {"fps": 2}):
            clip = read_clip(path, **request)
            idx = np.searchsorted(full.t_s, clip.t_s)
            np.testing.assert_array_equal(full.t_s[idx], clip.t_s)
            np.testing.assert_array_equal(full.frames[idx], clip.frames)
