"""Rows: bits survive the file, answers are read off predictions, damaged files are refused."""

import json

import numpy as np
import pytest

from videoperceiver.errors import RunError
from videoperceiver.lab import rows
from videoperceiver.lab.rows import Answers, Row


def made(arm="full", seed=3, clips=5):
    rng = np.random.default_rng(seed)
    answers = Answers(rng.random((clips, 3)) < 0.5, rng.random((clips, 3)) < 0.5)
    return Row(
        arm,
        seed,
        "abc",
        200,
        {"train": 1.5, "evaluate": 0.5},
        {"start": "a", "end": "b"},
        ("when", "count", "object_colour"),
        (False, False, True),
        {"conflict/full": answers},
    )


def test_round_trip_keeps_every_bit_and_sorts_by_arm_and_seed(tmp_path):
    before = [made("plain", 1), made("full", 2), made("full", 1, clips=7)]
    rows.write(before, tmp_path / "rows.jsonl")
    after = rows.read(tmp_path / "rows.jsonl")
    assert [(row.arm, row.seed) for row in after] == [("full", 1), ("full", 2), ("plain", 1)]
    for row in before:
        again = next(found for found in after if (found.arm, found.seed) == (row.arm, row.seed))
        assert (again.tests["conflict/full"].correct == row.tests["conflict/full"].correct).all()
        assert (again.tests["conflict/full"].followed == row.tests["conflict/full"].followed).all()
        assert vars(again) | {"tests": 0} == vars(row) | {"tests": 0}


def test_a_row_of_200_clips_is_small(tmp_path):
    rows.write([made(clips=200)], tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").stat().st_size < 700


def prediction(sample, question, *, score, extracted, hint="red", static=False):
    return {
        "sample": sample,
        "question": question,
        "family": question,
        "static": static,
        "score": score,
        "extracted": extracted,
        "tags": {f"hint/{question}": hint},
    }


def test_answers_by_hand():
    found = [
        prediction("b", "when", score=1.0, extracted="red"),
        prediction("b", "count", score=0.0, extracted="blue"),
        prediction("a", "count", score=None, extracted=None),
        prediction("a", "when", score=0.0, extracted="red"),
    ]
    questions, static, answers = rows.answers_of(found)
    assert questions == ("when", "count")
    assert static == (False, False)
    assert answers.correct.tolist() == [[False, False], [True, False]]  # clips by name; what cannot be read is wrong
    assert answers.followed.tolist() == [[True, False], [True, False]]


def test_clips_with_other_questions_are_refused():
    found = [prediction("a", "when", score=1.0, extracted="red"), prediction("b", "count", score=1.0, extracted="red")]
    with pytest.raises(RunError, match=r"clip 'a' was asked \['when'\], others \['count', 'when'\]"):
        rows.answers_of(found)


def test_another_format_and_a_missing_file_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    with pytest.raises(RunError, match="videoperceiver lab ablate"):
        rows.read(path)
    path.write_text(json.dumps(rows.to_json(made()) | {"schema": 9}) + "\n")
    with pytest.raises(RunError, match="has format 9, this version reads 1"):
        rows.read(path)
