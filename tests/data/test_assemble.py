"""What is decided between clips, in source order: benchmarks, duplicates, splits; and what is left of those that go."""

import json

import numpy as np
import pytest
from tests.data.sources.test_manifests import film

from videoperceiver.config import load
from videoperceiver.data import build, fingerprints, manifest
from videoperceiver.data.validate import rule_table
from videoperceiver.errors import ConfigError
from videoperceiver.stages import DataConfig
from videoperceiver.video.read import read_clip


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    for i in range(4):
        film(folder / f"{i}.mp4", i)
    (folder / "3 again.mp4").write_bytes((folder / "3.mp4").read_bytes())
    lines = [{"file": f"{name}.mp4", "caption": "A square flashes."} for name in (0, 1, 2, 3, "3 again")]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def config_of(source, output, *overrides):
    return load(DataConfig, None, [f"source={source}", f"output={output}", "relevance=motion", "runtime.num_workers=1", *overrides])


def indexed(path, video):
    """A benchmark's index that holds one video."""
    index = fingerprints.Fingerprints()
    index.add("bench/7.mp4", fingerprints.fingerprint(read_clip(video, num_frames=8).frames))
    index.save(path)
    return path


def test_what_a_benchmark_holds_and_what_repeats_is_left_out_and_splits_go_by_video(clips, tmp_path):
    index = indexed(tmp_path / "bench.npz", clips / "1.mp4")
    overrides = ["validate.decontaminate=drop", f"validate.benchmark_index=[{index}]", "shares={train: 0.5, test: 0.5}"]
    run = build.run(config_of(clips, tmp_path / "out", *overrides))
    samples = manifest.read(run.folder / "manifest.parquet")
    assert [sample.id for sample in samples] == ["0.mp4", "2.mp4", "3 again.mp4"]
    assert {sample.split for sample in samples} <= {"train", "test"}
    dropped = {row["sample_id"]: (row["rule"], row["part"]) for row in map(json.loads, (run.folder / "dropped.jsonl").read_text().splitlines())}
    assert dropped == {"1.mp4": ("benchmark", "sample"), "3.mp4": ("duplicate", "sample")}
    assert sorted(path.name for path in (run.folder / "media").iterdir()) == ["0.mp4", "2.mp4", "3 again.mp4"]
    told = json.loads((run.folder / "result.json").read_text())
    assert (told["clips"], told["duplicates"], told["overlaps"], told["rejected"]) == (3, 1, 1, 0)
    assert {row["rule"]: row["dropped"] for row in told["rules"] if row["dropped"]} == {"duplicate": 1, "benchmark": 1}
    again = build.run(config_of(clips, tmp_path / "again", *overrides))
    assert (again.folder / "manifest.parquet").read_bytes() == (run.folder / "manifest.parquet").read_bytes()


def test_marked_clips_stay_with_what_they_are_like_and_in_its_split(clips, tmp_path):
    index = indexed(tmp_path / "bench.npz", clips / "1.mp4")
    overrides = ["validate.duplicates=mark", "validate.decontaminate=mark", f"validate.benchmark_index=[{index}]", "shares={train: 0.5, test: 0.5}", "seed=3"]
    run = build.run(config_of(clips, tmp_path / "out", *overrides))
    samples = {sample.id: sample for sample in manifest.read(run.folder / "manifest.parquet")}
    assert len(samples) == 5
    assert samples["3.mp4"].tags == {"duplicate_of": "3 again.mp4"}
    assert samples["1.mp4"].tags["benchmark"] == "bench/7.mp4"
    assert samples["3.mp4"].split == samples["3 again.mp4"].split
    assert json.loads((run.folder / "result.json").read_text())["marked"] == {"duplicate_of": 1, "benchmark": 1}


def test_shares_that_are_none_are_refused():
    for shares in ("{train: 0.5}", "{train: 1.5, test: -0.5}", "{train: 0.5, dev: 0.5}"):
        with pytest.raises(ConfigError, match="expected shares of train, validation and test that sum to 1"):
            config_of("x", "y", f"shares={shares}")


def test_the_frames_of_a_fingerprint_are_those_of_the_whole_clip(clips, tmp_path):
    run = build.run(config_of(clips, tmp_path / "out", "limit=1"))
    row = json.loads((run.folder / "prepared.jsonl").read_text())
    hashes = np.frombuffer(bytes.fromhex(row["hashes"]), "<u8")
    number = fingerprints.num_frames(1.0)
    np.testing.assert_array_equal(hashes, fingerprints.fingerprint(read_clip(clips / "0.mp4", num_frames=number, size_px=256).frames))
    assert rule_table([], {"sample": 1}, config_of("x", "y").validate)
    assert json.loads((run.folder / "source.json").read_text())["notes"] == ["the first 1 clips; what follows was not looked at"]
