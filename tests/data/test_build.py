"""Stage 0 over a folder and over a manifest: what lands in the manifest, resume, bad clips, odd captions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.video.conftest import drawn as numbered
from tests.video.conftest import encode
from tests.video.test_times import without_times

from videoperceiver.config import load
from videoperceiver.data import build, manifest, prepare
from videoperceiver.data.check import candidates, check
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.pixels import content_hash
from videoperceiver.errors import ConfigError, ManifestError, RunError
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample, Span


def drawn(at: int, num_frames: int = 48) -> np.ndarray:
    """A grey clip whose frames at..at+3 show a white square."""
    frames = np.full((num_frames, 32, 48, 3), 90, np.uint8)
    frames[at : at + 4, 8:24, 12:36] = 250
    return frames


@pytest.fixture
def folder(tmp_path, clip_file) -> Path:
    for name, at in (("clips/a b.mp4", 20), ("clips/c.mp4", 30)):
        clip_file(drawn(at), 16, name=name)
    lines = [
        {"file": "a b.mp4", "caption": "a white square flashes", "events": [{"start": 1.25, "end": 1.49, "label": "square flashes"}]},
        {"file": "c.mp4", "caption": "a man opens a door", "split": "test"},
    ]
    (tmp_path / "clips" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "clips"


def config_of(source, output, *overrides) -> DataConfig:
    return load(DataConfig, None, [f"source={source}", f"output={output}", "relevance=motion", "runtime.num_workers=1", *overrides])


def test_a_folder_becomes_a_data_set_that_can_be_moved(folder, tmp_path):
    run = build.run(config_of(folder, tmp_path / "out"))
    moved = tmp_path / "elsewhere"
    run.folder.rename(moved)
    annotated, detected = manifest.read(moved / "manifest.parquet")
    assert [s.id for s in (annotated, detected)] == ["a b.mp4", "c.mp4"]
    assert [s.split for s in (annotated, detected)] == ["train", "test"]
    assert manifest.resolve(moved / "manifest.parquet", annotated).read_bytes() == (folder / "a b.mp4").read_bytes()
    assert annotated.spans == (Span(1.25, 1.49, "square flashes"),)
    shown = np.asarray(annotated.t_s)
    assert set(annotated.keyframes_idx) == set(np.flatnonzero((shown >= 1.25) & (shown <= 1.49)))  # annotated events take the place of detection
    assert any("door" in keyword for keyword in detected.keywords)
    assert any(abs(detected.t_s[i] - 30 / 16) <= 0.5 for i in detected.keyframes_idx)
    for sample in (annotated, detected):
        assert sample.degradation is not None
        assert len(sample.scores) == len(sample.t_s) == len(sample.degradation.source_idx)
        before, after = sample.event_share
        assert 0 < after <= before  # sampled denser outside the event


def test_a_sample_that_brings_its_times_keeps_them(folder, tmp_path):
    t_s = (0.0, 0.5, 1.25, 1.5, 2.0)
    brought = Sample("s", "a b.mp4", "", "train", "mine", t_s, keywords=("square flashes",), spans=(Span(1.2, 1.3),))
    manifest.write([brought], folder / "samples.jsonl")
    build.run(config_of(folder / "samples.jsonl", tmp_path / "out"))
    [made] = manifest.read(tmp_path / "out" / "manifest.parquet")
    assert (made.t_s, made.keywords, made.keyframes_idx) == (t_s, ("square flashes",), (2,))
    assert made.degradation.source_idx == (0, 1, 1, 3, 4)
    assert made.event_share == (0.2, 0.2)


def test_a_bad_clip_costs_one_row_with_its_reason(folder, tmp_path):
    (folder / "bad.mp4").write_bytes(b"<html>not found</html>")
    run = build.run(config_of(folder, tmp_path / "out", "max_reject_rate=0.5"))
    assert [s.id for s in manifest.read(run.folder / "manifest.parquet")] == ["a b.mp4", "c.mp4"]
    [reject] = run.rejects()
    assert reject["sample_id"] == "bad.mp4"
    assert json.loads((run.folder / "result.json").read_text())["rejected"] == 1
    with pytest.raises(RunError, match="max_reject_rate"):
        build.run(config_of(folder, tmp_path / "strict", "max_reject_rate=0"))


def test_a_stopped_build_goes_on_and_ends_the_same(folder, tmp_path, monkeypatch):
    whole = build.run(config_of(folder, tmp_path / "whole"))
    outcome, seen = prepare.Preparation._outcome, []

    def stop_at_second(self, clip, keywords):
        if seen:
            raise KeyboardInterrupt
        seen.append(clip.sample.id)
        return outcome(self, clip, keywords)

    monkeypatch.setattr(prepare.Preparation, "_outcome", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        build.run(config_of(folder, tmp_path / "cut", "runtime.chunk=1"))
    with (tmp_path / "cut" / "prepared.jsonl").open("a") as rows:
        rows.write('{"id": "c.mp')  # a kill in the middle of a line
    monkeypatch.setattr(prepare.Preparation, "_outcome", lambda self, clip, keywords: seen.append(clip.sample.id) or outcome(self, clip, keywords))
    cut = build.run(config_of(folder, tmp_path / "cut", "runtime.chunk=4"))
    assert seen == ["a b.mp4", "c.mp4"]  # the first was not done again
    assert (cut.folder / "manifest.parquet").read_bytes() == (whole.folder / "manifest.parquet").read_bytes()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "captions.jsonl:1"),
        ('{"caption": "x"}', "captions.jsonl:1"),
        ('{"file": "a b.mp4", "split": "dev"}', "split"),
        ('{"file": "a b.mp4", "events": [{"start": "soon"}]}', "captions.jsonl:1"),
        ('{"file": "gone.mp4"}', "gone.mp4"),
    ],
)
def test_a_bad_caption_line_is_named(folder, tmp_path, line, message):
    (folder / "captions.jsonl").write_text(line + "\n")
    with pytest.raises(ManifestError, match=message):
        build.run(config_of(folder, tmp_path / "out"))


def test_an_empty_folder_says_what_was_expected(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ManifestError, match=r"no video.*\.mp4"):
        build.run(config_of(tmp_path / "none", tmp_path / "out"))


def test_a_clip_that_needs_too_many_frames_is_refused_not_cut(folder, tmp_path):
    run = build.run(config_of(folder, tmp_path / "out", "max_frames=4", "max_reject_rate=1"))
    assert len(run.rejects()) == 2
    assert "4" in run.rejects()[0]["reason"]


@pytest.fixture
def frame_folders(tmp_path) -> Path:
    """MM-AU's layout: numbered images from 1 below a folder a clip; no file says their rate."""
    for name, at in (("1/000001/images", 10), ("1/000002/images", 20)):
        target = tmp_path / "frames" / name
        target.mkdir(parents=True)
        for number, pixels in enumerate(drawn(at, 30), start=1):
            Image.fromarray(pixels).save(target / f"{number:06d}.png")
    return tmp_path / "frames"


def test_folders_of_images_keep_their_rate_down_to_training(frame_folders, tmp_path):
    line = {"file": "1/000002/images", "frame_fps": 5, "events": [{"start": 4.0, "end": 4.6}]}
    (frame_folders / "captions.jsonl").write_text(json.dumps(line) + "\n")
    run = build.run(config_of(frame_folders, tmp_path / "out", "frame_fps=10"))
    path = run.folder / "manifest.parquet"
    first, second = manifest.read(path)
    assert [(s.id, s.frame_fps) for s in (first, second)] == [("1/000001/images", 10), ("1/000002/images", 5)]
    assert first.t_s[-1] <= 2.9 < second.t_s[-1] <= 5.8
    assert {second.t_s[i] for i in second.keyframes_idx} <= {4.0, 4.2, 4.4, 4.6}
    assert first.sha256 == content_hash(frame_folders / "1/000001/images")
    store = ClipStore([path], lambda frames: frames)
    for sample, at in ((first, 10), (second, 20)):
        clip = store.clip(sample)
        assert tuple(clip.t_s.tolist()) == sample.t_s
        shown = np.rint(clip.t_s * sample.frame_fps).astype(int)
        np.testing.assert_array_equal(clip.frames, drawn(at, 30)[shown])
    (again,) = (v for v in check(candidates(path, fps=4)[0], num_workers=1) if v.name == second.id)
    assert (again.problem, again.num_frames) == (None, len(second.t_s))


def test_folders_of_images_without_a_rate_are_never_guessed_at(frame_folders, tmp_path, clip_file, caplog):
    with pytest.raises(ManifestError, match="no video, but 2 folders of images; say how many images a second they hold: frame_fps"):
        build.run(config_of(frame_folders, tmp_path / "out"))
    clip_file(drawn(20), 16, name="frames/a.mp4")
    run = build.run(config_of(frame_folders, tmp_path / "mixed"))
    assert [s.id for s in manifest.read(run.folder / "manifest.parquet")] == ["a.mp4"]
    assert "2 folders of images are left out" in caplog.text
    (frame_folders / "captions.jsonl").write_text('{"file": "1/000001/images", "frame_fps": 0}\n')
    with pytest.raises(ManifestError, match=r"captions.jsonl:1.*frame_fps is 0"):
        build.run(config_of(frame_folders, tmp_path / "zero"))


def test_an_operator_of_ones_own_from_a_recipe(folder, tmp_path):
    own = Path(__file__).parents[2] / "examples" / "custom_degradation.py"
    run = build.run(config_of(folder, tmp_path / "out", f"operator={own}:rewind", "fps=8", "target_share=1"))
    sample, _ = manifest.read(run.folder / "manifest.parquet")
    assert sample.degradation.operator == f"{own}:rewind"
    first, last = sample.keyframes_idx[0], sample.keyframes_idx[-1]
    expected = list(range(len(sample.t_s)))
    expected[first : last + 1] = expected[first : last + 1][::-1]
    assert sample.degradation.source_idx == tuple(expected)
    with pytest.raises(ConfigError, match=r"operator 'hodl' is unknown \(did you mean 'hold'\?\)"):
        config_of(folder, tmp_path / "typo", "operator=hodl")
    with pytest.raises(ConfigError, match="has no function 'unwind'"):
        build.run(config_of(folder, tmp_path / "missing", f"operator={own}:unwind"))
    assert not (tmp_path / "missing").exists()  # found out before anything was made


def test_assumed_times_are_stated_in_the_sample_s_record(tmp_path, caplog):
    (tmp_path / "clips").mkdir()
    whole = encode(tmp_path / "whole.ts", numbered(60), g="20", bf="3")
    (tmp_path / "clips" / "a.ts").write_bytes(without_times(whole.read_bytes(), 0))
    shutil.copy(whole, tmp_path / "clips" / "b.ts")
    run = build.run(config_of(tmp_path / "clips", tmp_path / "out", "validate.duplicates=keep"))  # they show the same
    assumed, stored = manifest.read(run.folder / "manifest.parquet")
    assert (assumed.tags, stored.tags) == ({"times": "assumed"}, {})
    assert json.loads((run.folder / "result.json").read_text())["times_assumed"] == 1
    assert "a.ts: its times are assumed: it stores no times" in caplog.text
    verdicts = list(check(candidates(run.folder / "manifest.parquet", fps=4)[0], num_workers=1))
    assert [bool(verdict.assumed) for verdict in verdicts] == [True, False]
