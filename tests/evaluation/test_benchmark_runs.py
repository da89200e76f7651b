"""Every benchmark from its official files to result.json: stand-in videos, a tiny model, all conditions."""

import json
import math
from collections import Counter

import pytest
from tests.evaluation.stand_ins import FILES, render, words_of

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.ledger import iterate
from videoperceiver.evaluation.metrics import score
from videoperceiver.stages import EvaluateConfig

CONDITIONS = ["full", "degraded", "shuffled", "blank", "text"]


def config_of(name, stand_ins, model, output, *overrides) -> EvaluateConfig:
    annotations, videos = stand_ins[name]
    fields = [
        f"model.path={model}",
        "model.dtype=float32",
        f"benchmark.name={name}",
        f"benchmark.annotations={annotations}",
        f"benchmark.videos={videos}",
        f"output={output}",
        f"conditions=[{','.join(CONDITIONS)}]",
        "evidence.keywords=question",
        "evidence.relevance=motion",
        "max_new_tokens=3",
        *overrides,
    ]
    return load(EvaluateConfig, None, fields)


def check_evidence(run, rows, result):
    """The gap to every other condition with its interval, and each question that was scored on V and on V' told by what it needs."""
    assert result["gap"].keys() == {"degraded", "shuffled", "blank", "text"}
    scores = {condition: {(row["sample"], row["question"]): score(row) for row in rows if row["condition"] == condition} for condition in CONDITIONS}
    for condition, gap in result["gap"].items():
        differences = [scores["full"][key] - value for key, value in scores[condition].items()]
        known = [value for value in differences if not math.isnan(value)]
        assert gap["all"]["num"] == len(known)
        assert gap["all"]["value"] == (pytest.approx(sum(known) / len(known)) if known else None)
        assert gap["all"]["low"] is None or gap["all"]["low"] <= gap["all"]["value"] <= gap["all"]["high"]
    both = [key for key in scores["degraded"] if not math.isnan(scores["full"][key] + scores["degraded"][key])]
    needs = json.loads((run.folder / "keyframe_questions.json").read_text())
    assert sorted(tuple(key) for keys in needs.values() for key in keys) == sorted(both)
    assert {name: len(keys) for name, keys in needs.items()} == result["needs_keyframes"]
    for name, on_full in (("right on V only", True), ("right on both", True), ("wrong on both", False), ("right on V' only", False)):
        assert all((scores["full"][tuple(key)] >= 0.5) == on_full for key in needs[name])


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_runs_from_its_files_to_its_table(name, stand_ins, bench_model, tmp_path):
    run = evaluate.run(config_of(name, stand_ins, bench_model, tmp_path / "run"))
    benchmark, rows = BENCHMARKS[name], list(iterate(run.folder / "predictions.jsonl"))
    result = json.loads((run.folder / "result.json").read_text())
    asked = benchmark.load(stand_ins[name][0])
    assert not asked.rejects
    assert not run.rejects()
    wanted = {(sample.id, question.id) for sample in asked.samples for question in sample.questions}
    for condition in CONDITIONS:
        assert {(row["sample"], row["question"]) for row in rows if row["condition"] == condition} == wanted
        assert list(result["table"][condition]) == list(benchmark.columns)
    assert len(rows) == 5 * len(wanted)
    assert {row["num_frames"] for row in rows if row["condition"] == "text"} == {0}
    assert result["protocol"]["digest"] != benchmark.protocol.digest
    assert result["deviations"] == [f"max_new_tokens is 3, the protocol's is {benchmark.protocol.max_new_tokens}"]
    assert result["frames"]["min"] >= 1
    assert (result.get("official_table") is not None) == (benchmark.official is not None)
    assert ("knowledge_gain" in result) == (name == "video-mmmu")
    assert result["miscounts"]
    check_evidence(run, rows, result)
    full = [row for row in rows if row["condition"] == "full"]
    assert Counter(row["family"] for row in full if row["reference"]) == asked.counts
    assert {key: None if cell["value"] is None else round(100 * cell["value"], 6) for key, cell in result["table"]["full"].items()} == {
        key: None if value != value else round(value, 6) for key, value in benchmark.table(full).items()
    }


SAMPLES = {
    "motionbench": "motionbench/video_info.meta.SYNTHETIC.jsonl",
    "vru-accident": "vru_accident/MetaData",
    "mvbench": "mvbench/json",
    "video-mme": "video_mme",
    "vsi-bench": "vsi_bench",
    "video-mmmu": "videommmu",
    "favor-bench": "favor_bench/video_perspective.QUOTED.json",
    "tempcompass": "tempcompass/questions",
    "tomato": "tomato",
    "tvbench": "tvbench/json",
    "lv-haystack": "lv_haystack/row.RECONSTRUCTED.json",
    "charades-sta": "charades_sta",
}
"""Of TimeBlind no row is at hand: its layout is that of the official reader."""


@pytest.fixture(scope="session")
def sample_rows(shared_dir, tmp_path_factory):
    """The samples of real and reconstructed rows with rendered videos, and a tiny model that speaks their words."""
    from videoperceiver.lab.backbone import build_tiny

    root, made = tmp_path_factory.mktemp("samples"), {}
    for name, place in SAMPLES.items():
        annotations = shared_dir / "samples" / place
        if annotations.name.startswith("row."):  # one row as an object; the official file is a list of them
            (root / "test.jsonl").write_text(json.dumps(json.loads(annotations.read_text())) + "\n")
            annotations = root / "test.jsonl"
        made[name] = (annotations, render(name, annotations, root / name))
    words = {word for name, (annotations, _) in made.items() for word in words_of(name, annotations)}
    return made, build_tiny(root / "model", sorted(words | set("ABCD")), hidden_size=64, num_layers=2, vision_hidden_size=32, vision_depth=1)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_benchmark_runs_on_its_sample_rows(name, sample_rows, tmp_path):
    made, model = sample_rows
    run = evaluate.run(config_of(name, made, model, tmp_path / "run", "limit=1", "max_new_tokens=2"))
    rows = list(iterate(run.folder / "predictions.jsonl"))
    samples = BENCHMARKS[name].load(made[name][0]).samples[:1]
    for condition in CONDITIONS:
        assert sum(row["condition"] == condition for row in rows) == sum(len(sample.questions) for sample in samples)
    assert not run.rejects()
    check_evidence(run, rows, json.loads((run.folder / "result.json").read_text()))
