"""Our benchmarks as lmms-eval tasks: `python -m videoperceiver.evaluation.lmms.tasks BENCHMARK ANNOTATIONS VIDEOS OUT` writes a task folder.

The folder holds the questions as our reader reads them, a YAML task and a `utils.py` that points here, so both harnesses ask and score alike.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videoperceiver.errors import ConfigError
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.material import plain_read
from videoperceiver.types import Question

OFFERED = ("vru-accident", "favor-bench")
_NAMES = "aggregate, doc_to_text, doc_to_visual, process_results"
_UTILS = f"from videoperceiver.evaluation.lmms.tasks import {_NAMES}  # made by that module\n"
_YAML = """# {name}: made by videoperceiver.evaluation.lmms.tasks. Protocol: {protocol}
task: {task}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: {tokens}, temperature: 0, do_sample: false}}
process_results: !function utils.process_results
metric_list:
  - metric: videoperceiver_score
    aggregation: !function utils.aggregate
    higher_is_better: true
metadata: {{version: 0}}
"""


def write(name: str, annotations: Path, videos: Path, out: Path) -> Path:
    """Write a task folder for `lmms_eval --include_path`; questions whose video is missing are left out and counted.

    Raises:
        ConfigError: a benchmark that is not offered, or none of its videos is there.
    """
    if name not in OFFERED:
        raise ConfigError(f"benchmark {name!r} is not offered as an lmms-eval task, expected one of {', '.join(OFFERED)}")
    benchmark, task = BENCHMARKS[name], name.replace("-", "_")
    rows, missing = [], 0
    for sample in benchmark.load(annotations).samples:
        path = videos / sample.video
        for question in sample.questions if path.exists() else ():
            if question.kind != "open":
                rows.append({"benchmark": name, "video": str(path.resolve()), "sample": sample.id, **_fields(question)})
        missing += not path.exists()
    if not rows:
        raise ConfigError(f"{videos} has none of the videos of {benchmark.name}; expected them under their official names")
    out.mkdir(parents=True, exist_ok=True)
    data = (out / f"{task}.jsonl").resolve()
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    protocol = (
        f"{benchmark.protocol.num_frames or f'{benchmark.protocol.fps:g} fps'} frames, text_first={benchmark.protocol.text_first}, {missing} videos missing"
    )
    text = _YAML.format(name=benchmark.name, protocol=protocol, task=task, data=data, tokens=benchmark.protocol.max_new_tokens)
    (out / f"{task}.yaml").write_text(text, encoding="utf-8")
    (out / "utils.py").write_text(_UTILS, encoding="utf-8")
    return out


def _fields(question: Question) -> dict[str, Any]:
    return {
        "question": question.id,
        "text": question.text,
        "answer": question.answer,
        "kind": question.kind,
        "family": question.family,
        "options": list(question.options),
    }


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The video's path."""
    return [doc["video"]]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> str:
    """The question with its official prompt."""
    return doc["text"]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """A prediction row, scored by our parser."""
    question = Question(doc["question"], doc["text"], doc["answer"], doc["kind"], doc["family"], tuple(doc["options"]))
    extracted, score = (BENCHMARKS[doc["benchmark"]].read or plain_read)(results[0], question)
    row = {"benchmark": doc["benchmark"], "video": doc["video"], "question": doc["question"], "family": doc["family"], "kind": doc["kind"]}
    read = {"reference": doc["answer"], "extracted": extracted, "score": 0.0 if math.isnan(score) else score}  # lmms-eval wants a number: unread is wrong
    return {"videoperceiver_score": row | read}


def aggregate(rows: Sequence[dict[str, Any]]) -> float:
    """The benchmark's headline in percent; unread answers count as wrong."""
    table = BENCHMARKS[rows[0]["benchmark"]].table(rows)
    return table.get("Avg", next(iter(table.values())))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit("usage: python -m videoperceiver.evaluation.lmms.tasks BENCHMARK ANNOTATIONS VIDEOS OUT")
    sys.stdout.write(f"{write(sys.argv[1], *map(Path, sys.argv[2:]))}\n")
