"""VSI-Bench (arXiv 2412.14171): spatial questions on indoor scans, choices and numbers."""

from pathlib import Path

from videoperceiver import answers
from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, choice, find, free, read_rows
from videoperceiver.evaluation.columns import Column, pool
from videoperceiver.evaluation.metrics import Row, mean_relative_accuracy
from videoperceiver.types import Question

SOURCE = "https://huggingface.co/datasets/nyu-visionx/VSI-Bench"
NUMERIC = ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation")
DIRECTIONS = ("object_rel_direction_easy", "object_rel_direction_medium", "object_rel_direction_hard")
CHOICES = ("object_rel_distance", *DIRECTIONS, "route_planning", "obj_appearance_order")
PROTOCOL = Protocol(
    prompt={
        "choice": "These are frames of a video.\n{question}\nOptions:\n{options}\nAnswer with the option's letter from the given choices directly.",
        "number": "These are frames of a video.\n{question}\nPlease answer the question using a single word or phrase.",
    },
    num_frames=32,
    fps=None,
    max_new_tokens=16,
    source=SOURCE,
)


def load(path: Path) -> Annotations:
    """One sample a scene."""
    found = Collector("vsi-bench")
    for file in find(path, SOURCE, "test*.jsonl", "test*.parquet"):
        for row in read_rows(file):
            family, scene = row["question_type"], f"{row['dataset']}/{row['scene_name']}"
            if family in NUMERIC:
                question = free(str(row["id"]), PROTOCOL.prompt["number"].format(question=row["question"]), str(row["ground_truth"]), family)
            elif family in CHOICES and row["options"]:
                text = PROTOCOL.prompt["choice"].format(question=row["question"], options="\n".join(row["options"]))
                question = choice(str(row["id"]), text, row["ground_truth"], row["options"], family)
            else:
                found.reject(scene, f"question {row['id']}: type {family!r} is unknown or lacks its options", f"{scene}.mp4")
                continue
            found.ask(scene, f"{scene}.mp4", question, dataset=row["dataset"])
    return found.annotations()


def relative_accuracy(row: Row) -> float:
    """MRA of a row with a numeric reference; an unparsed answer counts 0."""
    return mean_relative_accuracy(None if row["extracted"] is None else float(row["extracted"]), float(row["reference"]))


def read(completion: str, question: Question) -> tuple[str | None, float]:
    """Numbers score their mean relative accuracy, choices exact."""
    given = answers.extract(completion, question.kind, question.options)
    if question.kind == "number":
        return given, mean_relative_accuracy(None if given is None else float(given), float(question.answer.replace(",", "")))
    return given, answers.compare(completion, question.answer, question.kind, question.options)


def official(completion: str) -> str | None:
    """The original repository's parser: the text up to the first space, without a final dot. "The answer is B" is "The"."""
    return completion.split(" ")[0].rstrip(".").strip() or None


def official_score(row: Row) -> float:
    """The original scorer on one row: exact for choices, MRA for numbers that Python's float can read."""
    given = official(row["completion"] or "") or ""
    if row["kind"] != "number":
        return float(given.casefold() == row["reference"].casefold())
    try:
        return mean_relative_accuracy(float(given), float(row["reference"].replace(",", "")))
    except ValueError:
        return 0.0


_SCORES: dict[str, Column] = {name: pool(name, value=relative_accuracy) for name in NUMERIC}
_SCORES |= {
    "object_rel_distance": pool("object_rel_distance"),
    "object_rel_direction": tuple(pool(name) for name in DIRECTIONS),
    "route_planning": pool("route_planning"),
    "obj_appearance_order": pool("obj_appearance_order"),
}

BENCHMARK = Benchmark(
    "VSI-Bench",
    PROTOCOL,
    load,
    {"Avg": tuple(_SCORES.values())} | _SCORES,  # unweighted mean of eight scores, the three levels of direction averaged into one first
    total=5130,
    read=read,
    official=official_score,
    reported={"Qwen2.5-VL-3B": (24.4,), "Qwen2.5-VL-7B": (27.7,), "VideoPerceiver-3B": (30.4,), "VideoPerceiver-7B": (38.1,)},
    independent={"Qwen2.5-VL-7B": (32.5,)},
    notes=(
        'Reported: the row Qwen2.5-VL-7B is Video-R1\'s "CoT, 16 frames" row.',
        "Independent: 64 frames; with reasoning and 32 frames the same source gives 30.1.",
    ),
)
