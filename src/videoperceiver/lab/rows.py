"""A row: everything kept of one arm with one seed, small enough to be committed, exact enough to compute every interval again.

Answers are kept as bits, a matrix of clips x questions a test and condition, packed and in base64: 2 x 150 bytes for 200 clips.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.errors import RunError
from videoperceiver.runs import write_atomic

SCHEMA = 1


@dataclass(frozen=True)
class Answers:
    """What a model answered on one test set under one condition.

    Attributes:
        correct: (clips, questions) bool.
        followed: (clips, questions) bool, whether the answer is what the static cue says.
    """

    correct: np.ndarray
    followed: np.ndarray


@dataclass(frozen=True)
class Row:
    """One arm with one seed.

    Attributes:
        arm, seed: which.
        commit: of the code that trained it.
        steps: of the last stage.
        cpu_s: {"prepare", "train", "evaluate"} processor seconds: of clips (and, in the row "backbone", of the backbone) that were not there when its
            training began, of the arm's own stage, of the answers. Rows of before 2026-11-22 lack "prepare".
        weights: {"start", "end"} sha256 of the model files.
        questions: names of the columns of the answers.
        static: whether each column is about the scenery.
        tests: "test/condition" -> answers.
        last: final training scalars.
    """

    arm: str
    seed: int
    commit: str | None
    steps: int
    cpu_s: Mapping[str, float]
    weights: Mapping[str, str]
    questions: tuple[str, ...]
    static: tuple[bool, ...]
    tests: Mapping[str, Answers]
    last: Mapping[str, float] = field(default_factory=dict)


def answers_of(predictions: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[bool, ...], Answers]:
    """Question names, which of them are static, and the answers of one test under one condition.

    Args:
        predictions: rows of predictions.jsonl; an answer that cannot be read counts as wrong.

    Raises:
        RunError: the clips were not all asked the same questions.
    """
    questions = {row["question"]: bool(row["static"]) for row in predictions}
    clips: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in predictions:
        clips.setdefault(row["sample"], {})[row["question"]] = row
    if short := [clip for clip, asked in clips.items() if asked.keys() != questions.keys()]:
        raise RunError(f"clip {short[0]!r} was asked {sorted(clips[short[0]])}, others {sorted(questions)}; a test needs the same questions for all its clips")
    table = [[clips[clip][name] for name in questions] for clip in sorted(clips)]
    correct = np.array([[row["score"] == 1 for row in line] for line in table])
    followed = np.array([[row["extracted"] is not None and row["extracted"] == row["tags"].get(f"hint/{row['family']}") for row in line] for line in table])
    return tuple(questions), tuple(questions.values()), Answers(correct, followed)


def to_json(row: Row) -> dict[str, Any]:
    """The row as JSON, schema included."""
    tests = {
        name: {"clips": len(answers.correct), "correct": _pack(answers.correct), "followed": _pack(answers.followed)} for name, answers in row.tests.items()
    }
    return {"schema": SCHEMA, **vars(row), "tests": tests}


def from_json(fields: Mapping[str, Any]) -> Row:
    """The row a JSON object holds.

    Raises:
        RunError: it was written in another format.
    """
    fields = dict(fields)
    if (schema := fields.pop("schema", None)) != SCHEMA:
        raise RunError(f"a row of arm {fields.get('arm')!r} has format {schema}, this version reads {SCHEMA}; use the version that wrote it")
    questions, static = tuple(fields.pop("questions")), tuple(fields.pop("static"))
    tests = {
        name: Answers(*(_unpack(value[kind], value["clips"], len(questions)) for kind in ("correct", "followed")))
        for name, value in fields.pop("tests").items()
    }
    return Row(questions=questions, static=static, tests=tests, **fields)


def write(rows: Iterable[Row], path: Path) -> None:
    """One line a row, by arm and seed."""
    ordered = sorted(rows, key=lambda row: (row.arm, row.seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(json.dumps(to_json(row)) + "\n" for row in ordered))


def read(path: Path) -> list[Row]:
    """The rows of a file.

    Raises:
        RunError: there is none, or it is damaged.
    """
    try:
        return [from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read as rows of the lab ({error}); make it with `videoperceiver lab ablate`") from error


def _pack(bits: np.ndarray) -> str:
    return base64.b64encode(np.packbits(bits.ravel()).tobytes()).decode()


def _unpack(text: str, num_clips: int, num_questions: int) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=num_clips * num_questions)
    return bits.reshape(num_clips, num_questions).astype(bool)
