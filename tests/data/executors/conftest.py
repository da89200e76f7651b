"""A folder of clips that all differ, and the manifest that one process makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from videoperceiver.config import load
from videoperceiver.data import build
from videoperceiver.stages import DataConfig

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers of other processes find this package too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    from tests.video.conftest import encode

    folder, rng, lines = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), []
    for i in range(10):
        frames = rng.integers(60, 200, (1, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2).repeat(24, 0)
        frames[8 + i : 11 + i, 8:24, 8:24] = 250
        encode(folder / f"{i}.mp4", frames, g="12")
        events = [{"start": (8 + i) / 30, "end": (10 + i) / 30, "label": "a square flashes"}] if i % 2 else []
        lines.append({"file": f"{i}.mp4", "caption": f"A square flashes {i} times.", "events": events})
    (folder / "bad.mp4").write_bytes(b"<html>")
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def config_of(source: Path, output: Path, *overrides: str) -> DataConfig:
    return load(DataConfig, None, [f"source={source}", f"output={output}", "relevance=motion", "max_reject_rate=0.2", *overrides])


@pytest.fixture(scope="session")
def one_process(clips, tmp_path_factory) -> Path:
    return build.run(config_of(clips, tmp_path_factory.mktemp("whole") / "run", "runtime.num_workers=1")).folder


def same(one: Path, other: Path) -> None:
    """Two runs have the same rows, rejects and drops, byte for byte."""
    assert (one / "manifest.parquet").read_bytes() == (other / "manifest.parquet").read_bytes()
    for name in ("dropped.jsonl", "rejects.jsonl"):
        read = [(folder / name).read_text() if (folder / name).exists() else "" for folder in (one, other)]
        assert read[0] == read[1]
