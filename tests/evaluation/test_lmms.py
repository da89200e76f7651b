"""lmms-eval's tasks and entry point. Its own command line was run in an environment of its own; see docs/benchmarks.md."""

import importlib.metadata
import json
import runpy

import pytest
import yaml

from videoperceiver.errors import ConfigError
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.lmms import tasks


@pytest.mark.parametrize("name", tasks.OFFERED)
def test_a_task_asks_what_our_reader_reads(name, stand_ins, tmp_path):
    annotations, videos = stand_ins[name]
    folder, task = tasks.write(name, annotations, videos, tmp_path / "tasks"), name.replace("-", "_")
    rows = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
    closed = [question for sample in BENCHMARKS[name].load(annotations).samples for question in sample.questions if question.kind != "open"]
    assert [(row["text"], row["answer"]) for row in rows] == [(question.text, question.answer) for question in closed]
    text = (folder / f"{task}.yaml").read_text().replace("!function ", "")
    config = yaml.safe_load(text)
    assert (config["task"], config["generation_kwargs"]["max_new_tokens"]) == (task, BENCHMARKS[name].protocol.max_new_tokens)
    functions = runpy.run_path(str(folder / "utils.py"))
    assert all(config[key].removeprefix("utils.") in functions for key in ("doc_to_visual", "doc_to_text", "process_results"))
    assert tasks.doc_to_visual(rows[0])[0].endswith(".mp4")
    assert tasks.doc_to_text(rows[0]) == rows[0]["text"]


def test_its_score_is_our_headline(stand_ins, tmp_path):
    annotations, videos = stand_ins["vru-accident"]
    folder = tasks.write("vru-accident", annotations, videos, tmp_path)
    rows = [json.loads(line) for line in (folder / "vru_accident.jsonl").read_text().splitlines()]
    answers = [row["answer"] if row["sample"].endswith("1") else "I cannot tell" for row in rows]  # one video right, the other unread
    scored = [tasks.process_results(row, [answer])["videoperceiver_score"] for row, answer in zip(rows, answers, strict=True)]
    assert tasks.aggregate(scored) == pytest.approx(50.0)
    assert {item["score"] for item in scored} == {0.0, 1.0}


def test_what_is_not_offered_or_has_no_videos_is_refused(stand_ins, tmp_path):
    with pytest.raises(ConfigError, match="'tomato' is not offered"):
        tasks.write("tomato", *stand_ins["tomato"], tmp_path)
    with pytest.raises(ConfigError, match="has none of the videos of FAVOR-Bench"):
        tasks.write("favor-bench", stand_ins["favor-bench"][0], tmp_path, tmp_path)


def test_the_entry_point_names_the_model():
    [entry] = [point for point in importlib.metadata.entry_points(group="lmms_eval.models") if point.name == "videoperceiver"] or pytest.skip(
        "installed before the entry point was"
    )
    assert entry.value == "videoperceiver.evaluation.lmms:manifest"
    pytest.importorskip("lmms_eval")
    assert entry.load()().simple_class_path == "videoperceiver.evaluation.lmms.model.VideoPerceiver"
