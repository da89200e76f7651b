"""LV-Haystack (arXiv 2504.02259), Ego4D part: find the few key frames of a question in minutes of video, then answer it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from videoperceiver import answers
from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, choice, find, read_rows
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row, hit_scores
from videoperceiver.types import Question

SOURCE = "https://huggingface.co/datasets/LVHaystack/LongVideoHaystack"
SEARCH, ANSWER = "key-frame search", "question answering"
MAX_TIMES = 8
"""Frames that the benchmark's own searcher returns."""
PROTOCOL = Protocol(  # made for frame searchers; the prompt for models that answer in words is ours
    prompt={
        "search": "Which moments of the video does one have to see to answer this question: {question}\n"
        f"Answer with up to {MAX_TIMES} times in seconds from the start of the video, separated by commas, and nothing else.",
        "answer": "{question}\n{options}\nAnswer with the letter of the correct option.",
    },
    num_frames=32,
    fps=None,
    max_new_tokens=64,
    source=SOURCE,
)
_TIME = re.compile(r"(?<![\w.])(?:(\d+):)?(\d+):(\d{2}(?:\.\d+)?)|(?<![\w.])(\d+(?:\.\d+)?)")


def load(path: Path) -> Annotations:
    """One sample a clip of a video, each row asked twice: for its key frames and for its answer. Frame indices become seconds by the video's own rate."""
    found = Collector("lv-haystack")
    for file in find(path, SOURCE, "test*.parquet", "test*.jsonl", "*.json"):
        for i, row in enumerate(read_rows(file)):
            _ask(found, i, row)
    return found.annotations()


def _ask(found: Collector, i: int, row: dict[str, Any]) -> None:
    facts, name = row["video_metadata"], f"{row['video_id']}#{row['vclip_id']}"
    video, rate, (start_s, end_s) = f"{row['video_id']}.mp4", facts["frame_rate"], facts["vclip_interval_in_video"]
    if not rate or not row["frame_indexes_vclip"]:
        found.reject(name, f"row {i}: frame rate {rate!r} and {len(row['frame_indexes_vclip'])} key frames, expected a rate above 0 and at least one", video)
        return
    times = ", ".join(f"{index / rate:.2f}" for index in row["frame_indexes_vclip"])
    search = Question(f"{i}-search", PROTOCOL.prompt["search"].format(question=row["question"]), times, "time", SEARCH)
    found.ask(name, video, search, start_s=start_s, end_s=end_s)
    options = {letter: text for letter, text in (row["options"] or {}).items() if text}
    text = PROTOCOL.prompt["answer"].format(question=row["question"], options="\n".join(f"{letter}. {option}" for letter, option in options.items()))
    found.ask(name, video, choice(f"{i}-answer", text, row["answer"], list(options.values()), ANSWER), start_s=start_s, end_s=end_s)


def times_of(text: str | None) -> list[float]:
    """Seconds in an answer, clock times included, at most `MAX_TIMES`."""
    return _times(text)[:MAX_TIMES]


def _times(text: str | None) -> list[float]:
    found = []
    for match in _TIME.finditer((text or "")[:4_000]):
        found.append(float(match[4]) if match[4] else 3600 * float(match[1] or 0) + 60 * float(match[2]) + float(match[3]))
    return found


def read(completion: str, question: Question) -> tuple[str | None, float]:
    """A search scores its F1, a hit being a time within 5 s; an answer as the shared parser reads it."""
    if question.family == ANSWER:
        return answers.extract(completion, "choice", question.options), answers.compare(completion, question.answer, "choice", question.options)
    times = times_of(completion)
    return (", ".join(f"{time:g}" for time in times) or None), hit_scores(times, _times(question.answer))[2]


def _part(index: int) -> Callable[[Row], float]:
    def value(row: Row) -> float:
        return hit_scores(_times(row["extracted"]), _times(row["reference"]))[index]

    return value


BENCHMARK = Benchmark(
    "LV-Haystack (Ego4D)",
    PROTOCOL,
    load,
    {
        "F1": pool(SEARCH),
        "Precision": pool(SEARCH, value=_part(0)),
        "Recall": pool(SEARCH, value=_part(1)),
        "QA": pool(ANSWER),
    },
    counts={SEARCH: 3874, ANSWER: 3874},
    read=read,
)
