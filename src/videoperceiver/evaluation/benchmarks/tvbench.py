"""TVBench (arXiv 2410.07752): ten tasks in MVBench's layout, made so that one frame, or the text alone, does not give the answer away."""

import re
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, by_letter, choice, find, read_rows
from videoperceiver.evaluation.columns import pool

SOURCE = "https://huggingface.co/datasets/FunAILab/TVBench"
TASKS = (
    "action_count",
    "object_count",
    "action_sequence",
    "object_shuffle",
    "scene_transition",
    "action_localization",
    "action_antonym",
    "unexpected_action",
    "egocentric_sequence",
    "moving_direction",
)
PROTOCOL = Protocol(  # the official notebook also begins the answer with "Best option:(", which chat models do not take
    prompt={
        "text": "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, and the action and pose "
        "of persons. Based on your observations, select the best option that accurately addresses the question.\n"
        "Question: {question}\nOptions:\n{options}\nOnly give the best option."
    },
    num_frames=16,
    fps=None,
    max_new_tokens=100,
    source=SOURCE,
    spread="centres",
)


def load(path: Path) -> Annotations:
    """The task is the file's name; the answer's letter is its place among the candidates; start and end cut the video where they are given."""
    found = Collector("tvbench")
    for file in find(path, SOURCE, "*.json"):
        task = file.name.partition(".")[0]
        for i, row in enumerate(read_rows(file)):
            video, start_s, end_s = f"{task}/{row['video']}", row.get("start"), row.get("end")
            name = video if start_s is None else f"{video}#{start_s}-{end_s}"
            if task not in TASKS or row["answer"] not in row["candidates"]:
                found.reject(name, f"row {i} of {file.name}: task {task!r} or answer {row['answer']!r} is unknown; expected one of the candidates", video)
                continue
            options = "\n".join(f"({letter}) {candidate}" for letter, candidate in zip(LETTERS, row["candidates"], strict=False))
            text = PROTOCOL.prompt["text"].format(question=row["question"], options=options)
            letter = LETTERS[row["candidates"].index(row["answer"])]
            found.ask(name, video, choice(f"{task}-{i}", text, letter, row["candidates"], task), start_s=start_s, end_s=end_s)
    return found.annotations()


def official(completion: str) -> str | None:
    """The first bracketed letter, as the official notebook compares it with "(A)". A public harness instead takes a digit for an index, scoring 2 as C."""
    match = re.match(r"\s*\(?([A-D])\)", completion)
    return match[1] if match else None


_TASKS = {task: pool(task) for task in TASKS}
BENCHMARK = Benchmark(
    "TVBench",
    PROTOCOL,
    load,
    {"Total": pool(), "Avg": tuple(_TASKS.values())} | _TASKS,  # micro average as the official notebook prints it, mean of the tasks, each task
    total=2654,  # the number a task is not published in the repository
    official=by_letter(official),
)
