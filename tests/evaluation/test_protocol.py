import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.test_benchmark_runs import config_of

from videoperceiver.config import load
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.protocol import REASONING, Protocol, effective, of_manifest
from videoperceiver.evaluation.sampling import bounded, frame_idx, sample_clip, spread_idx
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Span

TIMES = np.arange(40) / 10  # four seconds at 10 fps
EIGHT = Protocol({}, 8, None, 16, "test")
ONE_FPS = Protocol({}, None, 1.0, 16, "test")


@pytest.mark.parametrize(
    ("num", "wanted", "spread", "expected"),
    [
        (10, 4, "ends", [0, 3, 6, 9]),  # np.linspace(0, 9, 4, dtype=int)
        (100, 8, "starts", [0, 12, 25, 37, 50, 62, 75, 87]),  # np.arange(0, 100, 100 / 8) rounded down
        (100, 4, "centres", [12, 37, 62, 87]),
        (3, 8, "ends", [0, 1, 2]),
        (5, 1, "ends", [0]),
    ],
)
def test_places_of_the_frames(num, wanted, spread, expected):
    assert spread_idx(num, wanted, spread).tolist() == expected


def test_the_ends_are_those_of_numpy_for_every_length():
    for num in range(17, 400, 13):
        assert spread_idx(num, 16, "ends").tolist() == np.linspace(0, num - 1, 16, dtype=int).tolist()


def test_frames_of_a_cut():
    assert frame_idx(TIMES, EIGHT, Span(1.0, 1.65), "v").tolist() == [10, 11, 12, 13, 14, 15, 16]
    assert frame_idx(TIMES, ONE_FPS, None, "v").tolist() == [0, 10, 20, 30]
    assert frame_idx(TIMES, ONE_FPS, Span(1.0, 1.9), "v").tolist() == [10, 13, 16, 19]  # one frame a second would be one: the least is four
    assert frame_idx(TIMES, dataclasses.replace(ONE_FPS, fps=5.0, max_frames=6), None, "v").tolist() == [0, 7, 15, 23, 31, 39]


def test_pixels_are_bounded_and_the_aspect_kept():
    assert bounded(720, 1280, 360 * 420) == (291, 518)
    assert bounded(100, 100, 360 * 420) is None


def test_a_clip_is_read_at_the_bound(clip_file):
    path = clip_file(np.zeros((20, 40, 60, 3), np.uint8), 10)
    clip = sample_clip(path, dataclasses.replace(EIGHT, max_pixels=600), cut=Span(0.5, 1.5))
    assert clip.frames.shape == (8, 20, 30, 3)
    assert (clip.t_s[0], clip.t_s[-1]) == (0.5, 1.5)


def test_overrides_are_told_and_change_the_digest(stand_ins):
    benchmark = BENCHMARKS["tomato"].protocol
    same = effective(benchmark, dataclasses.replace(config_of("tomato", stand_ins, "m", "o"), max_new_tokens=0))
    assert (same, benchmark.deviations(same)) == (benchmark, [])
    other = effective(benchmark, config_of("tomato", stand_ins, "m", "o", "benchmark.fps=2", "prompt=reasoning", "max_new_tokens=0"))
    assert (other.fps, other.num_frames, other.max_new_tokens) == (2.0, None, 1024)
    assert other.digest != benchmark.digest
    assert benchmark.deviations(other) == [
        "num_frames is None, the protocol's is 16",
        "fps is 2.0, the protocol's is None",
        "reasoning is True, the protocol's is False",
    ]
    assert other.spelled("Why?") == f"Why?\n{REASONING}"


def test_a_manifest_asks_as_it_is(stand_ins):
    config = dataclasses.replace(config_of("tomato", stand_ins, "m", "o"), max_new_tokens=0)
    assert of_manifest(config).max_new_tokens == 64
    assert of_manifest(config).spelled("Why?") == "Why?"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_prompt_around_a_question_is_no_part_of_it(name, stand_ins):
    protocol = BENCHMARKS[name].protocol
    for sample in BENCHMARKS[name].load(stand_ins[name][0]).samples:
        for question in sample.questions:
            bare = protocol.bare(question.text)
            assert len(bare) < 90
            assert "option letter" not in bare
            assert "without any explanations" not in bare


@pytest.mark.parametrize("recipe", sorted((Path(__file__).parents[2] / "recipes").glob("qwen*/evaluate.yaml")), ids=lambda path: path.parent.name)
def test_a_recipe_does_not_fight_a_benchmarks_protocol(recipe):
    """No field has to be reset to run a benchmark as its authors say; a manifest's questions get 64 tokens."""
    for name, benchmark in BENCHMARKS.items():
        config = load(EvaluateConfig, recipe, [f"benchmark.name={name}", "output=o"])
        assert benchmark.protocol.deviations(effective(benchmark.protocol, config)) == []
    assert of_manifest(load(EvaluateConfig, recipe, ["manifest=m", "output=o"])).max_new_tokens == 64
