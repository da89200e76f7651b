"""Charades-STA (arXiv 1705.02101): when does what a sentence says happen? 3,720 sentences of the test split."""

from pathlib import Path

from videoperceiver.errors import ConfigError
from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, find
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row, first_span, temporal_iou
from videoperceiver.types import Question

SOURCE = "https://github.com/jiyanggao/TALL"
FAMILY = "grounding"
PROTOCOL = Protocol(  # there is no official prompt for models that answer in words; this one is ours
    prompt={
        "text": 'When does this happen in the video: "{sentence}"? Answer with the start and the end in seconds and nothing else, in the form "12.3 - 20.1".'
    },
    num_frames=None,
    fps=1.0,
    max_new_tokens=32,
    source=SOURCE,
)


def load(path: Path) -> Annotations:
    """One sample a video; every line is a question of its own, repeated sentences included."""
    found = Collector("charades-sta")
    for file in find(path, SOURCE, "charades_sta_test*.txt"):
        for number, line in enumerate(_lines(file), start=1):
            head, mark, sentence = line.partition("##")
            parts = head.split()
            if not mark or len(parts) != 3 or not sentence.strip():
                found.reject(f"line {number}", f"got {line[:80]!r}, expected `VIDEO START END##SENTENCE`", file.name)
                continue
            video, reference = parts[0], f"{parts[1]} - {parts[2]}"
            if first_span(reference) is None:
                found.reject(video, f"line {number}: its span is {reference!r}, expected seconds with start <= end", f"{video}.mp4")
                continue
            text = PROTOCOL.prompt["text"].format(sentence=sentence.strip())
            found.ask(video, f"{video}.mp4", Question(f"line-{number}", text, reference, "time", FAMILY))
    return found.annotations()


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ConfigError(f"annotation file {str(file)!r} is damaged ({error}); download it again") from error


def read(completion: str, question: Question) -> tuple[str | None, float]:
    """The first span in the answer, scored by its overlap (IoU) with the annotated one."""
    span, reference = first_span(completion), first_span(question.answer)
    if span is None or reference is None:
        return None, 0.0
    return f"{span[0]:g} - {span[1]:g}", temporal_iou(span, reference)


def _hit(threshold: float, row: Row) -> float:
    return float((row["score"] or 0.0) >= threshold)


BENCHMARK = Benchmark(
    "Charades-STA",
    PROTOCOL,
    load,
    {
        "mIoU": pool(),
        "R@1 IoU 0.3": pool(value=lambda row: _hit(0.3, row)),
        "R@1 IoU 0.5": pool(value=lambda row: _hit(0.5, row)),
        "R@1 IoU 0.7": pool(value=lambda row: _hit(0.7, row)),
    },
    counts={FAMILY: 3720},
    read=read,
    independent={"Qwen2.5-VL-3B": (38.8,), "Qwen2.5-VL-7B": (43.6,)},
)
