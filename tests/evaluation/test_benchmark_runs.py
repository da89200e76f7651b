"""Every benchmark from its official files to result.json: stand-in videos, a tiny model, all conditions."""

import json
from collections import Counter

import pytest
from tests.evaluation.stand_ins import FILES

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.ledger import iterate
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
    assert result["miscounts"]
    assert result["gap"].keys() == {"degraded", "shuffled", "blank", "text"}
    full = [row for row in rows if row["condition"] == "full"]
    assert Counter(row["family"] for row in full) == asked.counts
    assert {key: None if cell["value"] is None else round(100 * cell["value"], 6) for key, cell in result["table"]["full"].items()} == {
        key: None if value != value else round(value, 6) for key, value in benchmark.table(full).items()
    }
