"""What all benchmarks share: the registry, protocols and their digests, broken rows, counts."""

import dataclasses
import math

import pytest

from videoperceiver.errors import ConfigError
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.benchmarks.base import Collector, choice, cut_of, find, free, labelled, read_json, read_rows
from videoperceiver.types import Question


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_the_same_shape(name, tmp_path):
    benchmark = BENCHMARKS[name]
    assert (benchmark.protocol.num_frames is None) != (benchmark.protocol.fps is None)
    assert benchmark.protocol.source.startswith("https://")
    columns = benchmark.table([])
    assert all(math.isnan(value) for value in columns.values())
    assert all(len(row) in (1, len(columns)) for row in benchmark.reported.values())
    with pytest.raises(ConfigError, match="download it from https"):
        benchmark.load(tmp_path)


def test_digests_tell_protocols_apart():
    protocols = [benchmark.protocol for benchmark in BENCHMARKS.values()]
    assert len({protocol.digest for protocol in protocols}) == len(protocols)
    changed = dataclasses.replace(protocols[0], max_new_tokens=protocols[0].max_new_tokens + 1)
    assert changed.digest != protocols[0].digest == dataclasses.replace(protocols[0]).digest


def test_collector_groups_by_video_and_sets_broken_rows_aside():
    found = Collector("b")
    found.ask("v", "v.mp4", choice("1", "q?", "B", ["x", "y"], "f"), start_s=None, domain="d")
    found.ask("v", "v.mp4", choice("2", "q?", "A", ["x", "y"], "f"))
    found.ask("w", "w.mp4", choice("1", "q?", "A", ["x", "y"], "g"), start_s=1.5, end_s=2)
    found.ask("v", "v.mp4", choice("1", "again?", "A", ["x", "y"], "f"))
    found.ask("v", "v.mp4", choice("3", "q?", "C", ["x", "y"], "f"))
    found.ask("v", "v.mp4", choice("4", "q?", "A", ["x"], "f"))
    found.ask("v", "v.mp4", Question("5", " ", "x", "word", "f"))
    got = found.annotations()
    assert [(sample.id, [question.id for question in sample.questions]) for sample in got.samples] == [("v", ["1", "2"]), ("w", ["1"])]
    assert got.samples[0].tags == {"domain": "d"}
    assert got.counts == {"f": 2, "g": 1}
    assert [error.reason.partition(":")[0] for error in got.rejects] == ["question '1'", "question '3'", "question '4'", "question '5'"]
    assert "occurs twice" in got.rejects[0].reason
    assert "'C'" in got.rejects[1].reason
    assert cut_of(got.samples[0]) is None
    assert (cut_of(got.samples[1]).start_s, cut_of(got.samples[1]).end_s) == (1.5, 2.0)


def test_miscounts_name_each_family():
    benchmark = dataclasses.replace(BENCHMARKS["mvbench"], counts={"f": 2, "h": 1})
    found = Collector("b")
    found.ask("v", "v.mp4", choice("1", "q?", "A", ["x", "y"], "f"))
    assert benchmark.miscounts(found.annotations()) == ["MVBench: 1 questions of 'f', expected 2", "MVBench: 0 questions of 'h', expected 1"]


def test_labels_are_added_once():
    assert labelled(["red", "blue"]) == ("A. red", "B. blue")
    assert labelled(["A. red", "B. blue"]) == ("A. red", "B. blue")
    assert labelled(["A.red", "blue"]) == ("A. A.red", "B. blue")


def test_free_answers_are_numbers_or_words():
    assert [free("q", "t", answer, "f").kind for answer in ("4", "12.97", "1,200", "-0.5", "aldose", "4 or 5")] == ["number"] * 4 + ["word"] * 2


def test_damaged_files_name_themselves(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"a\.json.*damaged"):
        read_json(file)
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"x": 1}\n\n{"x"')
    with pytest.raises(ConfigError, match=r"a\.jsonl.*damaged"):
        list(read_rows(lines))
    assert find(file, "https://x", "*.csv") == [file]


def test_parquet_rows_are_those_of_jsonl(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"x": 1, "options": ["a", "b"]}, {"x": 2, "options": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "test.parquet")
    assert list(read_rows(tmp_path / "test.parquet")) == rows
