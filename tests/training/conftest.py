"""A rendered data set with V', and a tiny random model that speaks its words: made once for the folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from videoperceiver.data import manifest
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.video.degrade import degrade
from videoperceiver.video.keyframes import contiguous, from_spans

NUM_CLIPS = 10


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("model") / "tiny", VOCABULARY, seed=0)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of ten bright clips; the last has no V'."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    samples = []
    for sample in render_dataset(folder, num_clips=NUM_CLIPS, seed=0, split="train", difficulty="bright"):
        idx = from_spans(sample.t_s, sample.spans)
        made = degrade(len(sample.t_s), "hold", runs=contiguous(idx), keyframes_idx=idx)
        samples.append(replace(sample, keyframes_idx=tuple(map(int, idx)), degradation=made))
    samples[-1] = replace(samples[-1], degradation=None)
    manifest.write(samples, folder / "manifest.parquet")
    return folder / "manifest.parquet"


RECIPE = [
    "model.dtype=float32",
    "model.freeze_vision=false",
    "model.gradient_checkpointing=false",
    "batch_size=3",
    "steps=4",
    "checkpoint_every=2",
    "optim.lr=1e-3",
]
