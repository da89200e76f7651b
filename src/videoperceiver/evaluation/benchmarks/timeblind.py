"""TimeBlind (arXiv 2602.00288): 600 instances of two videos that differ in time alone and two questions that take opposite answers on them."""

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
            answer, options = (answer.upper()[:1], ("A.", "B.")) if kind == "choice" else (answer.casefold(), ("yes", "no"))
            found.ask(video, video, Question(str(row["index"]), text, answer, kind, row["type"], options), instance=int(row["index"]) // 4)
    return found.annotations()


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
)
