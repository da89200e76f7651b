"""TimeBlind (arXiv 2602.00288): 600 instances of two videos that differ in time alone and two questions that take opposite answers on them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, find, read_rows
from videoperceiver.evaluation.columns import Measure, pool
from videoperceiver.evaluation.metrics import Row, score
from videoperceiver.types import Question, QuestionKind

SOURCE = "https://huggingface.co/datasets/BaiqiL/TimeBlind"
KINDS: dict[str, QuestionKind] = {"yes_no": "yes_no", "multiple_choice": "choice"}
PROTOCOL = Protocol(
    prompt={"yes_no": "{question} Please output Yes or No.", "multiple_choice": "{question} Please output A or B."},
    num_frames=32,  # the official script leaves frames to the model
    fps=None,
    max_new_tokens=16,
    source=SOURCE,
)
_OPTIONS = re.compile(r"\bOption A:(.+?)\bOption B:(.+)", re.DOTALL)
_STATED = r"(?:final(?: answer)?|answer|prediction)\s*:\s*"
_LONE = re.compile(r"(?<![A-Za-z0-9/])([AB])(?![A-Za-z0-9/])", re.IGNORECASE)


def load(path: Path) -> Annotations:
    """One sample a video with its two questions; the row's index tells instance (index // 4) and place in it: question 0 on videos 0, 1, then question 1."""
    found = Collector("timeblind")
    for file in find(path, SOURCE, "data*.jsonl"):
        for row in read_rows(file):
            video, kind = str(row["video_path"]).removeprefix("TimeBlind/").removeprefix("videos/"), KINDS.get(row["type"])
            if kind is None:
                found.reject(video, f"row {row['index']}: type {row['type']!r}, expected yes_no or multiple_choice", video)
                continue
            text, answer = PROTOCOL.prompt[row["type"]].format(question=row["question"]), str(row["answer"]).strip()
            answer, options = (answer.upper()[:1], _options(row["question"])) if kind == "choice" else (answer.casefold(), ("yes", "no"))
            found.ask(video, video, Question(str(row["index"]), text, answer, kind, row["type"], options), instance=int(row["index"]) // 4)
    return found.annotations()


def _options(question: str) -> tuple[str, str]:
    """The two options that stand in a question; their letters alone where they do not."""
    found = _OPTIONS.search(question)
    return (f"A. {found[1].strip()}", f"B. {found[2].strip()}") if found else ("A.", "B.")


def official_score(row: Row) -> float:
    """The official reader: of a reasoning the first yes or no counts, and the article in "It is a dog, so B" is option A. For comparison only."""
    text = " ".join(unicodedata.normalize("NFKC", row["completion"] or "").split())
    patterns = (rf"{_STATED}(yes|no)\b", r"\b(yes|no)\b(?=[\s.,!?)]|$)")
    if row["kind"] == "choice":
        patterns = (rf"{_STATED}([AB])\b", r"(?:option|choice)\s*:?\s*([AB])\b", r"[(\[{]\s*([AB])\s*[)\]}]", r"\b([AB])\s*[.)]\b")
    found = next((match for pattern in patterns if (match := re.search(pattern, text, re.IGNORECASE))), None)
    if found is None and row["kind"] == "choice":
        word = re.search(r"\b(?:final(?: answer)?|answer|prediction)\b", text, re.IGNORECASE)
        places = (text[: word.start()], text[word.end() :]) if word else ()
        found = next((match for part in (*places, text) if (match := _LONE.search(part))), None)
    return float(found is not None and found[1].casefold() == row["reference"].casefold())


def _groups(part: Callable[[int], int], size: int) -> Measure:
    """1 where every row of a group is right; groups are `size` rows that share instance and part. An incomplete group is not scored."""

    def measure(rows: Sequence[Row]) -> list[tuple[float, str]]:
        groups: dict[tuple[int, int], list[float]] = defaultdict(list)
        for row in rows:
            index = int(row["question"])
            groups[index // 4, part(index % 4)].append(score(row))
        return [(float(all(value == 1 for value in values)), f"instance {key[0]}") for key, values in groups.items() if len(values) == size]

    return measure


BENCHMARK = Benchmark(
    "TimeBlind",
    PROTOCOL,
    load,
    {
        "I-Acc": _groups(lambda place: 0, 4),  # both questions right on both videos
        "Q-Acc": _groups(lambda place: place // 2, 2),  # one question right on both videos
        "V-Acc": _groups(lambda place: place % 2, 2),  # both questions right on one video
        "Acc": pool(),
    },
    total=2400,
    official=official_score,
)
