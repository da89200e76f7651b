"""data/check.py: every bad clip is named with its reason, every good one with what will be used."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from videoperceiver.data import manifest
from videoperceiver.data.check import candidates, check
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample


@pytest.fixture
def folder(tmp_path, clip_file):
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 48, 3), dtype=np.uint8)
    clip_file(frames, 8, name="clips/good.mp4")
    (tmp_path / "clips" / "deep").mkdir()
    (tmp_path / "clips" / "deep" / "text.avi").write_text("no video at all")
    (tmp_path / "clips" / "empty.mkv").touch()
    (tmp_path / "clips" / "readme.txt").write_text("left aside")
    return tmp_path / "clips"


def test_a_folder_is_checked_file_by_file(folder):
    clips, num_other = candidates(folder, fps=4)
    assert [clip.path.name for clip in clips] == ["text.avi", "empty.mkv", "good.mp4"]
    assert num_other == 1
    text, empty, good = check(clips, num_workers=1)
    assert good.problem is None
    assert (good.num_frames, good.start_s) == (4, 0.0)
    assert good.end_s == pytest.approx(0.75)
    assert text.problem
    assert empty.problem
    assert text.name == str(folder / "deep" / "text.avi")


def test_a_manifest_is_checked_by_its_own_times_and_hash(folder):
    digest = hashlib.sha256((folder / "good.mp4").read_bytes()).hexdigest()
    rows = [("same", "good.mp4", digest), ("other", "good.mp4", "0" * 64), ("gone", "gone.mp4", digest)]
    path = folder / "manifest.jsonl"
    manifest.write([Sample(id=name, video=video, sha256=sha, split="train", source="drawn", t_s=(0.25, 0.5)) for name, video, sha in rows], path)
    same, other, gone = check(candidates(path, fps=4)[0], num_workers=1)
    assert (same.problem, same.num_frames, same.start_s, same.end_s) == (None, 2, 0.25, 0.5)
    assert "sha256 differs" in other.problem
    assert gone.name == "gone"
    assert gone.problem


def test_wrong_sources_are_named(tmp_path):
    with pytest.raises(ManifestError, match="no video in this folder"):
        candidates(tmp_path, fps=4)
    with pytest.raises(ManifestError, match="no such file or folder"):
        candidates(tmp_path / "nowhere", fps=4)
    (tmp_path / "clips.csv").touch()
    with pytest.raises(ManifestError, match=r"ends in \.parquet or \.jsonl"):
        candidates(tmp_path / "clips.csv", fps=4)


def test_folders_of_images_are_checked_at_the_rate_given(tmp_path):
    for number in range(1, 7):
        (tmp_path / "clip" / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / "clip" / "images" / f"{number}.png")
    (clip,), num_other = candidates(tmp_path, fps=4, frame_fps=10)
    assert num_other == 0
    (verdict,) = check([clip], num_workers=1)
    assert (verdict.problem, verdict.num_frames, verdict.end_s) == (None, 3, 0.5)
    with pytest.raises(ManifestError, match="1 folders of images"):
        candidates(tmp_path, fps=4)
