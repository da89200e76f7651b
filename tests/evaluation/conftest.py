"""Stand-ins for public benchmarks, and a tiny model that speaks their words."""

from pathlib import Path

import pytest
from tests.evaluation.stand_ins import FILES, render, words_of, write_official

from videoperceiver.evaluation.protocol import REASONING


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Benchmark -> (annotations, videos)."""
    root = tmp_path_factory.mktemp("benchmarks")
    made = {name: write_official(name, root / name / "annotations") for name in FILES}
    return {name: (annotations, render(name, annotations, root / name / "videos")) for name, annotations in made.items()}


@pytest.fixture(scope="session")
def bench_model(stand_ins, tmp_path_factory) -> Path:
    """A tiny Qwen2.5-VL whose vocabulary is the stand-ins' questions and a few answers."""
    from videoperceiver.lab.backbone import build_tiny

    words = {word for name, (annotations, _) in stand_ins.items() for word in words_of(name, annotations)}
    answers = {"A", "B", "C", "D", "yes", "no", "1.0", "-", "3", "4", "the", "car", *REASONING.split()}
    return build_tiny(tmp_path_factory.mktemp("model") / "bench", sorted(words | answers), hidden_size=64, num_layers=2, vision_hidden_size=32, vision_depth=1)
