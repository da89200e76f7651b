"""FAVOR-Bench (arXiv 2503.14935), closed questions: fine-grained motion in six kinds of task, five wordings each."""

from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, choice, find, read_json
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row

SOURCE = "https://github.com/FAVOR-Bench/FAVOR-Bench"
COUNTS = {"AS": 2637, "HAC": 1541, "SAD": 1662, "MAD": 1205, "CM": 1075, "NSM": 64}
"""Action sequence, holistic action classification, single and multiple action detail, camera motion, non-subject motion."""

PROTOCOL = Protocol(
    prompt={
        "text": "Carefully watch the video and pay attention to temporal dynamics in this video, focusing on the camera motions, actions, activities, "
        "and interactions. Based on your observations, select the best option that accurately addresses the question.\n{question}\n"
        "You can only response with the answer among {options}"
    },
    num_frames=None,
    fps=1.0,
    max_new_tokens=256,
    source=SOURCE,
    max_pixels=360 * 420,
)


def load(path: Path) -> Annotations:
    """One sample a video; the official script adds ".mp4" to a name that some copies of the file carry already."""
    found = Collector("favor-bench")
    for file in find(path, SOURCE, "video_perspective*.json"):
        for row in read_json(file):
            name = str(row["video_name"]).removesuffix(".mp4")
            for i, item in enumerate(row["questions"]):
                options, answer = item["options"], item["correct_answer"]
                if answer not in options:
                    found.reject(name, f"question {i}: its answer {answer!r} is none of its {len(options)} options", f"{name}.mp4")
                    continue
                text = PROTOCOL.prompt["text"].format(question=item["question"], options=options)
                found.ask(name, f"{name}.mp4", choice(f"{name}-{i}", text, LETTERS[options.index(answer)], options, item["task_type"]))
    return found.annotations()


def official_score(row: Row) -> float:
    """The official rule: the right option's wording occurs in the completion, and no option that holds it as a part does; listing all options passes."""
    options = [option.partition(". ")[2] for option in row["options"]]
    answer, said = options[LETTERS.index(row["reference"])], (row["completion"] or "").lower()
    longer = [option for option in options if option != answer and answer in option]
    return float(answer.lower() in said and not any(option.lower() in said for option in longer))


BENCHMARK = Benchmark(
    "FAVOR-Bench",
    PROTOCOL,
    load,
    {"ALL": pool()} | {family: pool(family) for family in COUNTS},  # micro average, then each task
    counts=COUNTS,
    official=official_score,
    independent={"Qwen2.5-VL-3B": (36.8,), "Qwen2.5-VL-7B": (40.5,)},
)
