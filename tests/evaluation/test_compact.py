"""Compact rows say what plain ones say, and the tables over them are those that plain rows gave before (known_tables.json)."""

import json
import math
from dataclasses import astuple
from pathlib import Path

import pytest
from tests.evaluation.prediction_rows import row
from tests.evaluation.random_rows import random_rows

from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.columns import estimate_columns
from videoperceiver.evaluation.compact import CompactRows
from videoperceiver.evaluation.statistics import summarize

KNOWN = json.loads((Path(__file__).parent / "known_tables.json").read_text())
SEEN = ("sample", "question", "family", "kind", "static", "condition", "extracted", "reference", "score", "tags", "video")


def same(got, expected) -> bool:
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(same(got[key], value) for key, value in expected.items())
    if expected is None:
        return got is None or math.isnan(got)
    return got == pytest.approx(expected, rel=1e-8)


def test_a_row_comes_back_as_it_was():
    rows = random_rows()
    compact = CompactRows.of(rows)
    assert list(compact) == [{name: item[name] for name in (*SEEN[:1], *SEEN[2:8], "video", "tags", "question", "score") if name in SEEN} for item in rows]
    assert CompactRows.of(compact) is compact
    assert [item["question"] for item in CompactRows.of([row(1, question="\ud83d é")])] == ["\ud83d é"]  # half a pair of surrogates, as JSON may hold
    assert [item["question"] for item in compact[5:8]] == [item["question"] for item in rows[5:8]]


def test_values_flags_and_groups_are_those_of_metrics():
    rows = random_rows()
    compact = CompactRows.of(rows)
    assert compact.values.tolist() == pytest.approx([metrics.score(item) for item in rows], nan_ok=True)
    assert compact.unparsed.tolist() == [metrics.is_unparsed(item) for item in rows]
    for key in ("condition", "family", "static", "tags.cue", "tags.half"):
        groups = metrics.grouped(rows, key)
        assert {name: [item["question"] for item in part] for name, part in compact.by(key).items()} == {
            name: [item["question"] for item in part] for name, part in groups.items()
        }
        assert list(compact.by(key)) == list(groups)
    closed = compact.where(compact.closed)
    assert closed.most_common() == max(sum(item["reference"] == name for item in closed) for name in {item["reference"] for item in closed})
    assert compact.tags() == {"cue", "id", "half"}


def test_partners_are_found_by_sample_and_question_and_the_last_one_counts():
    full = CompactRows.of([row(1, sample="a", question="1"), row(1, sample="a", question="2"), row(1, sample="b", question="1")])
    others = CompactRows.of([row(0, sample="b", question="1"), row(0, sample="a", question="1"), row(1, sample="a", question="1"), row(0, sample="a12")])
    assert full.partners(others).tolist() == [2, -1, 0]
    assert full.partners(others[:0]).tolist() == [-1, -1, -1]


def test_the_summary_is_what_plain_rows_gave():
    assert same(json.loads(json.dumps(summarize(random_rows(num=60), seed=3))), KNOWN["summary"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmarks_columns_are_what_plain_rows_gave(name):
    benchmark = BENCHMARKS[name]
    families = sorted(benchmark.counts) or ["yes_no", "multiple_choice"]
    rows = [item for item in random_rows(families, 160, seed=7) if item["condition"] == "full" and item["reference"] not in ("", "red")]
    for given in (rows, CompactRows.of(rows)):
        found = estimate_columns({"full": given}, benchmark.columns, seed=1)["full"]
        assert {key: same(dict(enumerate(astuple(cell))), dict(enumerate(KNOWN["columns"][name][key]))) for key, cell in found.items()} == dict.fromkeys(
            benchmark.columns, True
        )


def test_the_official_parsers_scores_are_a_view_of_the_same_rows():
    rows = [row(1, sample="a"), row(None, sample="b") | {"extracted": None}, row(None, kind="open", sample="c")]
    compact = CompactRows.collect(zip(rows, (0.0, 1.0, None), strict=True))
    assert compact.values.tolist() == pytest.approx([1.0, 0.0, math.nan], nan_ok=True)
    assert compact.by_official().values.tolist() == pytest.approx([0.0, 1.0, math.nan], nan_ok=True)
    assert [item["score"] for item in compact.by_official()] == [0.0, 1.0, None]
