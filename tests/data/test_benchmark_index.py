"""data/benchmark_index.py: any layout, unreadable videos told, resumable."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.data.drawn import changed, scene
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.data.benchmark_index import index_folder
from videoperceiver.data.fingerprints import Fingerprints, fingerprint
from videoperceiver.errors import ManifestError


@pytest.fixture
def benchmark(tmp_path, clip_file):
    folder = tmp_path / "bench"
    for seed in range(2):
        clip_file(scene(seed), name=f"bench/videos/{seed}.mp4", crf=20, pix_fmt="yuv420p")
    clip_file(np.zeros((12, 32, 32, 3), np.uint8), name="bench/black.mp4")
    images = folder / "frames" / "0007"
    images.mkdir(parents=True)
    for i, frame in enumerate(scene(2, 10)):
        Image.fromarray(frame).save(images / f"{i:04d}.png")
    (folder / "broken.avi").write_text("no video")
    (folder / "annotations.json").write_text("[]")
    return folder


def test_every_video_of_a_folder_is_in_the_index(benchmark, tmp_path):
    made = index_folder(benchmark, tmp_path / "out" / "index.npz", num_workers=1)
    assert (made.videos, made.read, [name for name, _ in made.unreadable], made.blank) == (4, 5, ["bench/broken.avi"], ["bench/black.mp4"])
    index = Fingerprints.load(tmp_path / "out" / "index.npz")
    assert index.ids == ["bench/black.mp4", "bench/frames/0007", "bench/videos/0.mp4", "bench/videos/1.mp4"]
    assert index.nearest(fingerprint(changed(scene(1), scale=0.5)))[0] == "bench/videos/1.mp4"
    assert index.nearest(fingerprint(scene(2, 10)))[0] == "bench/frames/0007"
    assert index.nearest(fingerprint(scene(3))) is None
    assert index.nearest(fingerprint(np.zeros((8, 32, 32, 3), np.uint8))) is None


def test_it_goes_on_where_it_was_and_reads_again_what_changed(benchmark, tmp_path, clip_file):
    output = tmp_path / "index.npz"
    index_folder(benchmark, output, num_workers=1)
    whole = output.read_bytes()
    journal = tmp_path / "index.npz.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # killed while it wrote the third
    output.unlink()
    assert index_folder(benchmark, output, num_workers=1).read == 3
    assert output.read_bytes() == whole
    assert index_folder(benchmark, output, num_workers=1).read == 0
    clip_file(scene(8), name="bench/videos/0.mp4", crf=20, pix_fmt="yuv420p")
    (benchmark / "black.mp4").unlink()
    made = index_folder(benchmark, output, num_workers=1)
    assert (made.read, made.videos) == (1, 3)
    assert Fingerprints.load(output).nearest(fingerprint(scene(8)))[0] == "bench/videos/0.mp4"
    assert Fingerprints.load(output).nearest(fingerprint(scene(0))) is None


def test_the_command_says_what_is_in_it_and_what_is_not(benchmark, tmp_path):
    ran = CliRunner().invoke(app, ["data", "index", str(benchmark), "--output", str(tmp_path / "index.npz"), "--num-workers", "1"])
    assert ran.exit_code == 0, ran.output
    assert "4 videos" in ran.output
    assert "not in it: bench/broken.avi" in ran.output
    assert "bench/black.mp4" in ran.output
    assert json.loads((tmp_path / "index.npz.jsonl").read_text().splitlines()[0])["id"].startswith("bench/")


def test_nothing_to_index_is_told(tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        index_folder(tmp_path / "gone", tmp_path / "index.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no video in this folder"):
        index_folder(tmp_path / "empty", tmp_path / "index.npz")
    (tmp_path / "empty" / "a.mp4").write_text("no video")
    with pytest.raises(ManifestError, match=r"none of its 1 videos can be read.*empty/a\.mp4"):
        index_folder(tmp_path / "empty", tmp_path / "index.npz", num_workers=1)
    assert not (tmp_path / "index.npz").exists()
