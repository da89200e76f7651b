"""Video-MMMU (arXiv 2501.13826): perceive, comprehend, and apply what a lecture teaches; 300 questions a track."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, choice, find, free, labelled, read_json
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row, accuracy, delta_knowledge
from videoperceiver.types import Question

SOURCE = "https://github.com/EvolvingLMMs-Lab/VideoMMMU"
TRACKS = ("Perception", "Comprehension", "Adaptation")
_WATCH = "You should watch and learn the video content. Then apply what you learned to answer the following {kind} question. "
_IMAGE = "The image for this question is at the end of the video.\n"
PROTOCOL = Protocol(
    prompt={
        "watch": "{question}\n{options}\nPlease ignore the Quiz question in last frame of the video.",
        "adapt_choice": _WATCH.format(kind="multi-choice") + _IMAGE + "{question}\n{options}",
        "adapt_open": _WATCH.format(kind="open-ended") + _IMAGE + "{question}",
    },
    num_frames=32,
    fps=None,
    max_new_tokens=1024,
    source=SOURCE,
)

_TRACKS = {track: pool(track) for track in TRACKS}


def load(path: Path) -> Annotations:
    """One sample a video, with its question of each track; rows without a type but with options are multiple choice."""
    found = Collector("video-mmmu")
    for file in find(path, SOURCE, "*_video*.json"):
        for track, rows in read_json(file).items():
            if track not in TRACKS:
                found.reject(track, f"track is {track!r}, expected one of {', '.join(TRACKS)}", str(file.name))
                continue
            for row in rows.values():
                found.ask(row["id"], f"{row['id']}.mp4", _question(track, row), subject="_".join(row["id"].split("_")[1:-1]))
    return found.annotations()


def _question(track: str, row: dict[str, Any]) -> Question:
    name = f"{track}-{row['id']}"
    if not row["options"]:
        return free(name, PROTOCOL.prompt["adapt_open"].format(question=row["question"]), str(row["answer"]), track)
    prompt = PROTOCOL.prompt["adapt_choice" if track == "Adaptation" else "watch"]
    text = prompt.format(question=row["question"], options="\n".join(labelled(row["options"])))
    return choice(name, text, row["answer"], row["options"], track)


def knowledge_gain(rows: Sequence[Row], question_only: Sequence[Row]) -> float:
    """Delta-knowledge in percent from the Adaptation rows with the video, and those with the question alone; NaN where nothing was left to learn.

    The official question-only setting shows the question's image; the condition `text` shows nothing, so there it is an upper bound.
    """
    with_video, without = (100 * accuracy([row for row in side if row["family"] == "Adaptation"]) for side in (rows, question_only))
    return delta_knowledge(with_video, without) if without < 100 else math.nan


BENCHMARK = Benchmark(
    "Video-MMMU",
    PROTOCOL,
    load,
    {"Overall": tuple(_TRACKS.values())} | _TRACKS,  # unweighted mean of the three tracks, then each
    counts=dict.fromkeys(TRACKS, 300),
    reported={"Qwen2.5-VL-3B": (31.1,), "Qwen2.5-VL-7B": (47.8,), "VideoPerceiver-3B": (52.7,), "VideoPerceiver-7B": (55.7,)},
    independent={"Qwen2.5-VL-7B": (47.4,)},
    gain=knowledge_gain,
    notes=('Reported: the row Qwen2.5-VL-7B is Video-R1\'s "CoT, 16 frames" row.',),
)
