"""data/comparing.py: clips that benchmarks hold, copies, and splits, as a recipe asks for them."""

from dataclasses import replace

import numpy as np
import pytest
from tests.data.drawn import changed, scene

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.benchmark_index import index_folder
from videoperceiver.data.build import run
from videoperceiver.data.comparing import compare
from videoperceiver.data.fingerprints import fingerprint, motion
from videoperceiver.data.outcomes import Outcome
from videoperceiver.errors import ManifestError
from videoperceiver.stages import DataConfig, ValidateConfig
from videoperceiver.types import Sample

LONG = scene(1, 96)


@pytest.fixture
def index(tmp_path, clip_file):
    clip_file(LONG, 12, name="bench/test/long.mp4", crf=20, pix_fmt="yuv420p")
    clip_file(scene(2), 12, name="bench/test/short.mp4", crf=20, pix_fmt="yuv420p")
    index_folder(tmp_path / "bench", tmp_path / "bench.npz", num_workers=1)
    return tmp_path / "bench.npz"


def outcome(name, frames):
    return Outcome(name, f"/source/{name}", Sample(name, f"media/{name}", "", "", "drawn", (0.0,)), None, (), fingerprint(frames), motion(frames))


OUTCOMES = [
    outcome("cut.mp4", changed(LONG[30:54:2], scale=0.5)),  # out of a longer video of the benchmark's
    outcome("holds.mp4", np.concatenate((scene(5, 12), scene(2, 24), scene(6, 12)))[::2]),  # a video of the benchmark's lies in it
    outcome("own.mp4", scene(3, 12)),
    Outcome("rejected.mp4", "/source/rejected.mp4", error={"kind": "SampleError", "path": "", "reason": "no video"}),
    outcome("copy.mp4", changed(scene(3, 12), scale=0.5)),
]


def config(**values):
    return DataConfig(source="s", output="o", validate=ValidateConfig(**values))


def decide(tmp_path, config, outcomes=OUTCOMES):
    """What is dropped and what is marked, by id."""
    found = compare(outcomes, config, tmp_path / "decided.jsonl")
    decisions = {one.id: decision for one, decision in zip(outcomes, found, strict=found.decided is not None)}
    dropped = {name: decision.dropped for name, decision in decisions.items() if decision.dropped}
    return dropped, {name: decision.marks for name, decision in decisions.items() if decision.marks}


def test_what_a_benchmark_holds_is_dropped(index, tmp_path):
    dropped, marks = decide(tmp_path, config(decontaminate="drop", benchmark_index=(str(index),)))
    assert {name: item.rule for name, item in dropped.items()} == {"cut.mp4": "benchmark", "holds.mp4": "benchmark", "copy.mp4": "duplicate"}
    assert "bench/test/long.mp4" in dropped["cut.mp4"].reason
    assert "bench/test/short.mp4" in dropped["holds.mp4"].reason
    assert marks == {}


def test_or_marked_with_the_video_and_how_near_it_is(index, tmp_path):
    dropped, marks = decide(tmp_path, config(decontaminate="mark", benchmark_index=(str(index),), duplicates="mark"))
    assert dropped == {}
    assert marks["cut.mp4"]["benchmark"] == "bench/test/long.mp4"
    assert 0 <= float(marks["cut.mp4"]["benchmark_bits"]) <= 10
    assert marks["copy.mp4"] == {"duplicate_of": "own.mp4"}
    assert "own.mp4" not in marks


def test_how_near_is_for_the_recipe_to_say(index, tmp_path):
    strict = config(decontaminate="drop", benchmark_index=(str(index),), benchmark_bits=0, benchmark_share=1.0, duplicates="keep")
    for asked in (strict, config(duplicate_bits=0), config(duplicates="keep")):
        assert decide(tmp_path, asked) == ({}, {})
    with pytest.raises(ManifestError, match="no such index"):
        decide(tmp_path, config(decontaminate="mark", benchmark_index=("gone.npz",)))


def test_splits_are_by_video_and_the_sources_own_stay(tmp_path):
    rows = [*OUTCOMES, *(outcome(f"{i}.mp4", scene(10 + i, 8)) for i in range(30))]
    own = rows[2].sample
    assert own is not None
    given = replace(rows[2], sample=replace(own, split="test"))
    asked = replace(config(duplicates="mark"), shares={"train": 0.5, "validation": 0.5})
    found = compare([*rows[:2], given, *rows[3:]], asked, tmp_path / "decided.jsonl")
    assert (found.splits["own.mp4"], found.splits["copy.mp4"]) == ("test", "test")
    assert set(found.splits.values()) == {"train", "validation", "test"}


def test_a_build_leaves_out_copies_and_what_a_benchmark_holds(index, tmp_path, clip_file):
    for name, frames in (("a", scene(7)), ("b", changed(scene(7), scale=0.5)), ("c", LONG[20:50]), ("d", scene(8))):
        clip_file(frames, 12, name=f"videos/{name}.mp4", crf=20, pix_fmt="yuv420p")
    (tmp_path / "videos" / "captions.jsonl").write_text(
        '{"file": "a.mp4", "caption": "a bright blob crosses the picture"}\n{"file": "d.mp4", "caption": "I\'m sorry, I cannot see it"}\n'
    )
    fields = [f"source={tmp_path / 'videos'}", f"output={tmp_path / 'run'}", "relevance=motion", "max_reject_rate=1.0"]
    made = run(load(DataConfig, None, [*fields, "validate.decontaminate=drop", f"validate.benchmark_index=[{index}]"]))
    kept = [sample.id for sample in manifest.Manifest(made.folder / "manifest.parquet")]
    dropped = (made.folder / "dropped.jsonl").read_text()
    assert kept == ["a.mp4"]
    assert [rule in dropped for rule in ('"duplicate"', '"benchmark"', '"refusal"')] == [True, True, True]
    assert "I'm sorry, I cannot see it" in dropped
