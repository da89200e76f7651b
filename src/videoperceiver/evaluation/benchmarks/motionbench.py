"""MotionBench (arXiv 2501.02955): six kinds of fine motion; half of the answers are hidden behind a submission server."""

import re
from collections.abc import Iterable
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, by_letter, choice, find, read_rows
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row

SOURCE = "https://github.com/zai-org/MotionBench"
FAMILIES = {
    "Motion Recognition": "MR",
    "Location-related Motion": "LM",
    "Camera Motion": "CM",
    "Motion-related Objects": "MO",
    "Action Order": "AO",
    "Repetition Count": "RC",
}
"""In the order of the paper's Table 1."""

PROTOCOL = Protocol(
    prompt={"after": "Answer with only the option letter (A, B, C, D, E, or F)."},  # none is official; this is the public harness's
    num_frames=None,
    fps=1.0,
    max_new_tokens=64,
    source=SOURCE,
)

_OPTION = re.compile(r"(?:^|\n)[ \t]*([A-F])[.):][ \t]*(.*?)[ \t]*(?=\n[ \t]*[A-F][.):]|\Z)", re.DOTALL)


def load(path: Path) -> Annotations:
    """Questions with a public answer ("dev"); those answered "NA" get split "hidden" samples and an empty answer, and are never scored."""
    dev, hidden = Collector("motionbench", "dev"), Collector("motionbench", "hidden")
    for file in find(path, SOURCE, "video_info.meta.jsonl"):
        for row in read_rows(file):
            for qa in row["qa"]:
                answer = "" if qa["answer"] == "NA" else qa["answer"].strip()
                options = [match[2].strip() for match in _OPTION.finditer(qa["question"])]
                text = f"{qa['question'].strip()}\n{PROTOCOL.prompt['after']}"
                family = FAMILIES.get(row["question_type"])
                if family is None:
                    dev.reject(row["key"], f"question type is {row['question_type']!r}, expected one of {', '.join(FAMILIES)}", row["video_path"])
                    continue
                question = choice(str(qa["uid"]), text, answer, options, family)
                (dev if answer else hidden).ask(row["key"], row["video_path"], question, start_s=qa.get("start"), end_s=qa.get("end"))
    return dev.annotations() + hidden.annotations()


def official(completion: str) -> str | None:
    """`polish_answer` of the official repository: reads "The answer is B" as T and "Answer: B" as A. For comparison only."""
    text = completion.strip().split(")")[0].strip()
    if "(" in text:
        text = text.split("(")[1].strip()
    return text.split(" ")[0][:1] or None


def submission(rows: Iterable[Row]) -> dict[str, str]:
    """What the server takes: uid -> letter over all questions, hidden ones included; "" where no letter could be read.

    Raises:
        ValueError: a uid occurs twice.
    """
    answers: dict[str, str] = {}
    for row in rows:
        if row["question"] in answers:
            raise ValueError(f"uid {row['question']!r} occurs twice, expected one answer each; pass the rows of one condition")
        answers[row["question"]] = row["extracted"] if row["extracted"] in tuple(LETTERS) else ""
    return answers


BENCHMARK = Benchmark(
    "MotionBench",
    PROTOCOL,
    load,
    {"Avg": pool()} | {family: pool(family) for family in FAMILIES.values()},  # micro average, then each kind
    counts={"MR": 1478, "MO": 690, "LM": 546, "AO": 519, "RC": 400, "CM": 385},  # of the 4,018 with answers
    official=by_letter(official),
    reported={
        "Qwen2.5-VL-3B": (51, 49, 51, 53, 44, 39, 36),
        "Qwen2.5-VL-7B": (54, 53, 55, 51, 69, 41, 35),
        "VideoPerceiver-3B": (64, 59, 61, 63, 55, 56, 49),
        "VideoPerceiver-7B": (69, 66, 64, 67, 77, 61, 61),
    },
    notes=(
        "Reported: VideoPerceiver-3B's average (64) exceeds its best category (63), which no average can.",
        "Reported: the paper's test column repeats its dev column; it was not measured on the hidden half.",
    ),
    submission=submission,
)
