"""VSI-Bench (arXiv 2412.14171): spatial questions on indoor scans, choices and numbers."""

from collections.abc import Sequence
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, choice, find, free, read_rows
from videoperceiver.evaluation.metrics import Row, accuracy, grouped, macro_mean, mean_relative_accuracy

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


def table(rows: Sequence[Row]) -> dict[str, float]:
    """Unweighted mean of eight scores (the three levels of direction averaged into one), then each, in percent."""
    groups = grouped(rows, "family")
    scores = {name: 100 * macro_mean([relative_accuracy(row) for row in groups.get(name, [])]) for name in NUMERIC}
    scores["object_rel_distance"] = 100 * accuracy(groups.get("object_rel_distance", []))
    scores["object_rel_direction"] = macro_mean([100 * accuracy(groups.get(name, [])) for name in DIRECTIONS])
    scores |= {name: 100 * accuracy(groups.get(name, [])) for name in ("route_planning", "obj_appearance_order")}
    return {"Avg": macro_mean(scores.values())} | scores


def official(completion: str) -> str | None:
    """The original repository's parser: the text up to the first space, without a final dot. "The answer is B" is "The"."""
    return completion.split(" ")[0].rstrip(".").strip() or None


BENCHMARK = Benchmark(
    "VSI-Bench",
    PROTOCOL,
    load,
    table,
    counts={},  # 5,130 in all; the numbers a type are not established here
    official=official,
    reported={"Qwen2.5-VL-3B": (24.4,), "Qwen2.5-VL-7B": (27.7,), "VideoPerceiver-3B": (30.4,), "VideoPerceiver-7B": (38.1,)},
)
