"""A benchmark's samples in a temporary file: questions are written as they are read and found again by sample, so that their number costs no memory."""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from videoperceiver.types import Question, Sample


class Spool:
    """Writes samples and their questions, in any order.

    Args:
        source: name of the benchmark.
        split: of every sample.
    """

    def __init__(self, source: str, split: str):
        self._source, self._split = source, split
        self._numbers: dict[str, int] = {}
        self._heads, self._questions, self._owners = _Records(), _Records(), array("i")

    def add(self, sample_id: str, video: str, tags: Mapping[str, str], question: Question) -> None:
        """One question; the first one of a sample brings its video and tags."""
        if (number := self._numbers.get(sample_id)) is None:
            number = self._numbers[sample_id] = len(self._numbers)
            self._heads.append([sample_id, video, dict(tags)])
        self._owners.append(number)
        fields = [question.id, question.text, question.answer, question.kind, question.family, question.options, question.static]
        self._questions.append(fields)

    def samples(self) -> "Samples":
        """Everything added, samples in the order of their first question."""
        self._heads.flush()
        self._questions.flush()
        owners = np.array(self._owners, dtype=np.int32)
        order = np.argsort(owners, kind="stable")
        starts = np.searchsorted(owners[order], np.arange(len(self._numbers) + 1))
        part = _Part(self._source, self._split, self._heads, self._questions, order, starts)
        return Samples([part], np.zeros(len(self._numbers), dtype=np.int32), np.arange(len(self._numbers)))


class _Records:
    """JSON records by number in a temporary file, which goes with them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the line below
        weakref.finalize(self, self._file.close)
        self._ends = array("q", [0])

    def append(self, fields: list) -> None:
        self._ends.append(self._ends[-1] + self._file.write(json.dumps(fields).encode()))

    def flush(self) -> None:
        """Before the first reading."""
        self._file.flush()

    def __getitem__(self, number: int) -> list:
        start = self._ends[number]
        return json.loads(os.pread(self._file.fileno(), self._ends[number + 1] - start, start))  # no position is shared, so threads may read


@dataclass(frozen=True, eq=False)
class _Part:
    source: str
    split: str
    heads: _Records
    questions: _Records
    order: np.ndarray
    starts: np.ndarray

    def sample(self, number: int) -> Sample:
        name, video, tags = self.heads[number]
        asked = [self.questions[at] for at in self.order[self.starts[number] : self.starts[number + 1]].tolist()]
        questions = tuple(Question(id, text, answer, kind, family, tuple(options), static) for id, text, answer, kind, family, options, static in asked)
        return Sample(id=name, video=video, sha256="", split=self.split, source=self.source, t_s=(), questions=questions, tags=tags)


class Samples(Sequence[Sample]):
    """Samples of one or more spools, each read from disk when it is asked for."""

    def __init__(self, parts: Sequence[_Part], part: np.ndarray, number: np.ndarray):
        self._parts, self._part, self._number = parts, part, number

    def __len__(self) -> int:
        return len(self._number)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(self._parts, self._part[index], self._number[index])
        return self._parts[self._part[index]].sample(int(self._number[index]))

    def __add__(self, other: "Samples") -> "Samples":
        """These, then the others."""
        return Samples(
            [*self._parts, *other._parts],
            np.concatenate([self._part, other._part + len(self._parts)]),
            np.concatenate([self._number, other._number]),
        )

    def take(self, places: Sequence[int]) -> "Samples":
        """Those at some places."""
        at = np.array(places, dtype=np.int64)
        return Samples(self._parts, self._part[at], self._number[at])
