"""What every benchmark is made of: a protocol with a hash, a reader of its official files, and a table in the papers' order."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.evaluation.metrics import Row
from videoperceiver.types import Question, QuestionKind, Sample, Span

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Protocol:
    """How a number was made. Numbers under different digests are not comparable.

    Attributes:
        prompt: the texts around a question, by use.
        num_frames: evenly spaced frames; None where `fps` samples.
        fps: frames a second, at least the model's least number of frames; None where `num_frames` samples.
        max_new_tokens: greedy decoding stops here.
        source: where the protocol is written down.
        max_pixels: of a frame; None: what the checkpoint's processor does.
        text_first: the question stands before the video.
    """

    prompt: Mapping[str, str]
    num_frames: int | None
    fps: float | None
    max_new_tokens: int
    source: str
    max_pixels: int | None = None
    text_first: bool = False

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over every field and the source text of the answer parser."""
        content = json.dumps(asdict(self), sort_keys=True) + _parser_text()
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _parser_text() -> str:
    files = sorted((file for file in resources.files("videoperceiver.answers").iterdir() if file.name.endswith(".py")), key=lambda file: file.name)
    return "".join(file.read_text(encoding="utf-8") for file in files)


@dataclass
class Annotations:
    """What a benchmark's files hold: one sample a video, and the rows that cannot be asked.

    The samples have no frames yet (`t_s` and `sha256` are empty): the protocol samples them from the videos.
    """

    samples: list[Sample] = field(default_factory=list)
    rejects: list[SampleError] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Questions a family."""
        return Counter(question.family for sample in self.samples for question in sample.questions)


class Collector:
    """Groups questions by video, in the order of their first appearance, and sets broken rows aside.

    Args:
        source: name of the benchmark.
        split: of every sample.
    """

    def __init__(self, source: str, split: str = "test"):
        self._source, self._split = source, split
        self._rows: dict[str, tuple[str, dict[str, str], list[Question]]] = {}
        self._rejects: list[SampleError] = []
        self._seen: set[str] = set()

    def ask(self, sample_id: str, video: str, question: Question, **tags: object) -> None:
        """Add a question; a repeated id, an empty question or an answer outside the options is rejected. None-valued tags are left out."""
        name = f"{sample_id}/{question.id}"
        if reason := ("the question id occurs twice; the first is kept" if name in self._seen else _fault(question)):
            self.reject(sample_id, f"question {question.id!r}: {reason}", video)
            return
        self._seen.add(name)
        self._rows.setdefault(sample_id, (video, {key: str(value) for key, value in tags.items() if value is not None}, []))[2].append(question)

    def reject(self, sample_id: str, reason: str, video: str | None = None) -> None:
        """Set a row aside with its reason."""
        self._rejects.append(SampleError(reason, path=video, sample_id=sample_id))

    def annotations(self) -> Annotations:
        """Everything collected."""
        samples = [
            Sample(id=name, video=video, sha256="", split=self._split, source=self._source, t_s=(), questions=tuple(questions), tags=tags)
            for name, (video, tags, questions) in self._rows.items()
        ]
        return Annotations(samples, self._rejects)


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
        table: rows of one condition -> column -> percent, in the papers' column order; a column without rows is NaN.
        counts: questions a family in the complete release.
        official: the official parser where it differs from ours: (completion, question) -> letter or text; None where it does not.
        reported: the paper's rows, model -> values in the order of `table`'s columns; what is not printed is None.
    """

    name: str
    protocol: Protocol
    load: Callable[[Path], Annotations]
    table: Callable[[Sequence[Row]], dict[str, float]]
    counts: Mapping[str, int]
    official: Callable[[str], str | None] | None = None
    reported: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    def miscounts(self, annotations: Annotations) -> list[str]:
        """One sentence for each family whose number of questions is not the release's."""
        found = annotations.counts
        names = dict.fromkeys([*self.counts, *found])
        return [
            f"{self.name}: {found[name]} questions of {name!r}, expected {self.counts.get(name, 0)}"
            for name in names
            if found[name] != self.counts.get(name, 0)
        ]


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
