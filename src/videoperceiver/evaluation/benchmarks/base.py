"""What every benchmark is made of: a protocol with a hash, a reader of its official files, and columns in the papers' order."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.evaluation.benchmarks.spool import Samples, Spool
from videoperceiver.evaluation.columns import Column, tabulate
from videoperceiver.evaluation.metrics import Row
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.types import Question, QuestionKind, Sample, Span

__all__ = [
    "LETTERS",
    "Annotations",
    "Benchmark",
    "Collector",
    "Protocol",
    "by_letter",
    "choice",
    "cut_of",
    "find",
    "free",
    "labelled",
    "read_json",
    "read_rows",
]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Read = Callable[[str, Question], tuple[str | None, float]]
"""Completion and question -> the answer read out of it (None where there is none), and its score from 0 to 1."""


@dataclass
class Annotations:
    """What a benchmark's files hold: one sample a video, and the rows that cannot be asked; a `Collector` makes it.

    The samples have no frames yet (`t_s` and `sha256` are empty): the protocol samples them from the videos.

    Attributes:
        samples: read from disk as they are asked for.
        rejects: rows that were set aside, with reasons.
        counts: questions with a public answer, by family.
    """

    samples: Samples
    rejects: list[SampleError]
    counts: Counter[str]

    def __add__(self, other: "Annotations") -> "Annotations":
        """These, then the others."""
        return Annotations(self.samples + other.samples, self.rejects + other.rejects, self.counts + other.counts)


class Collector:
    """Groups questions by video, in the order of their first appearance, and sets broken rows aside.

    Args:
        source: name of the benchmark.
        split: of every sample.
    """

    def __init__(self, source: str, split: str = "test"):
        self._spool = Spool(source, split)
        self._rejects: list[SampleError] = []
        self._counts: Counter[str] = Counter()
        self._seen: set[int] = set()  # 64-bit hashes: the names themselves are on disk

    def ask(self, sample_id: str, video: str, question: Question, **tags: object) -> None:
        """Add a question; a repeated id, an empty question or an answer outside the options is rejected. None-valued tags are left out."""
        name = hash((sample_id, question.id))
        if reason := ("the question id occurs twice; the first is kept" if name in self._seen else _fault(question)):
            self.reject(sample_id, f"question {question.id!r}: {reason}", video)
            return
        self._seen.add(name)
        self._counts[question.family] += bool(question.answer)
        self._spool.add(sample_id, video, {key: str(value) for key, value in tags.items() if value is not None}, question)

    def reject(self, sample_id: str, reason: str, video: str | None = None) -> None:
        """Set a row aside with its reason."""
        self._rejects.append(SampleError(reason, path=video, sample_id=sample_id))

    def annotations(self) -> Annotations:
        """Everything collected."""
        return Annotations(self._spool.samples(), self._rejects, self._counts)


def _fault(question: Question) -> str | None:
    if not question.text.strip():
        return "its text is empty"
    if question.kind == "choice":
        if len(question.options) < 2:
            return f"it has {len(question.options)} options, expected at least two"
        if question.answer and question.answer not in LETTERS[: len(question.options)]:
            return f"its answer is {question.answer!r}, expected one of the letters of its {len(question.options)} options"
    return None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: as written in tables.
        protocol: prompt, frames, decoding.
        load: official annotation file or folder -> `Annotations`.
        columns: heading -> what it is the mean of, in the papers' order; see `evaluation.columns`.
        counts: questions with a public answer in the complete release, by family; empty where only `total` is known.
        total: questions in the complete release.
        read: how a completion is read and scored where `answers` does not do; None: as `answers` does.
        official: a row's score by the official parser where it differs from ours; None where it does not.
        reported: the paper's rows, model -> values in the order of `columns`; what is not printed is left out at the end.
        independent: the same by others than the paper's authors; see docs/benchmarks.md for where from.
        notes: footnotes to the reported rows: what about them is impossible or inconsistent.
        submission: rows under "full" -> what the benchmark's server takes; None where there is none.
        gain: rows under "full" and under "text" -> what watching adds, in percent; None where the benchmark does not define it.
    """

    name: str
    protocol: Protocol
    load: Callable[[Path], Annotations]
    columns: Mapping[str, Column]
    counts: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
    read: Read | None = None
    official: Callable[[Row], float] | None = None
    reported: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    independent: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    submission: Callable[[Iterable[Row]], dict[str, str]] | None = None
    gain: Callable[[Sequence[Row], Sequence[Row]], float] | None = None

    def table(self, rows: Sequence[Row]) -> dict[str, float]:
        """Rows of one condition -> column -> percent; a column that lacks a part is NaN."""
        return tabulate(rows, self.columns)

    def miscounts(self, annotations: Annotations) -> list[str]:
        """One sentence for each family whose number of questions is not the release's."""
        found = annotations.counts
        if not self.counts:
            asked = sum(found.values())
            return [f"{self.name}: {asked} questions, expected {self.total}"] if self.total and asked != self.total else []
        names = dict.fromkeys([*self.counts, *found])
        return [
            f"{self.name}: {found[name]} questions of {name!r}, expected {self.counts.get(name, 0)}"
            for name in names
            if found[name] != self.counts.get(name, 0)
        ]


def by_letter(parser: Callable[[str], str | None]) -> Callable[[Row], float]:
    """A row's score by a parser that reads a letter out of a completion: 1 where it is the reference's."""
    return lambda row: float(parser(row["completion"] or "") == row["reference"])


def find(path: Path, source: str, *patterns: str) -> list[Path]:
    """The annotation files at a path: the file itself, or the files below the folder that match the first pattern with any.

    Raises:
        ConfigError: there are none.
    """
    if path.is_file():
        return [path]
    for pattern in patterns:
        if found := sorted(path.rglob(pattern)):
            return found
    raise ConfigError(f"no annotation file {' or '.join(map(repr, patterns))} at {str(path)!r}; download it from {source} and give its file or folder")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a .jsonl or .parquet file, or of a .json list.

    Raises:
        ConfigError: the file is none of these or is damaged.
    """
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            yield from parquet.read_table(path).to_pylist()
        elif path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:
                yield from (json.loads(line) for line in lines if line.strip())
        else:
            yield from read_json(path)
    except json.JSONDecodeError as error:
        raise ConfigError(f"annotation file {str(path)!r} is damaged ({error}); download it again") from error


def read_json(path: Path) -> Any:
    """A .json file.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"annotation file {str(path)!r} is damaged ({error}); download it again") from error


def choice(id: str, text: str, answer: str, options: Sequence[str], family: str) -> Question:
    """A multiple-choice question; options get their labels unless they all carry them."""
    return Question(id, text, answer, "choice", family, labelled(options))


def free(id: str, text: str, answer: str, family: str) -> Question:
    """A question with a free answer: a number where the reference is one, else a word or phrase."""
    kind: QuestionKind = "number" if re.fullmatch(r"-?[\d,]*\.?\d+(?:[eE][-+]?\d+)?", answer.strip()) else "word"
    return Question(id, text, answer, kind, family)


def labelled(options: Sequence[str]) -> tuple[str, ...]:
    """Options with their letters: "A. red"; as they are where all begin with their own."""
    if all(option.startswith(f"{letter}.") for letter, option in zip(LETTERS, options, strict=False)):
        return tuple(options)
    return tuple(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def cut_of(sample: Sample) -> Span | None:
    """The part of the video that is asked about, from the tags `start_s` and `end_s`; None: all of it."""
    if "start_s" not in sample.tags or "end_s" not in sample.tags:
        return None
    return Span(float(sample.tags["start_s"]), float(sample.tags["end_s"]))
