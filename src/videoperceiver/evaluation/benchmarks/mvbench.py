"""MVBench (arXiv 2311.17005): twenty tasks of 200 questions."""

import re
from collections.abc import Sequence
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, choice, find, read_rows
from videoperceiver.evaluation.metrics import Row, accuracy, grouped, macro_mean

SOURCE = "https://huggingface.co/datasets/OpenGVLab/MVBench"
FOLDERS = {
    "action_sequence": "star/Charades_v1_480",
    "action_prediction": "star/Charades_v1_480",
    "action_antonym": "ssv2_video",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "moving_direction": "clevrer/video_validation",
    "action_localization": "sta/sta_video",
    "scene_transition": "scene_qa/video",
    "action_count": "perception/videos",
    "moving_count": "clevrer/video_validation",
    "moving_attribute": "clevrer/video_validation",
    "state_change": "perception/videos",
    "fine_grained_pose": "nturgbd",
    "character_order": "perception/videos",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",  # folders of frames, 3 a second
    "counterfactual_inference": "clevrer/video_validation",
}
"""Task -> folder of its videos."""

PROTOCOL = Protocol(
    prompt={"text": "Question:{question}\nOption:\n{options}\nOnly give the best option.\n"}, num_frames=16, fps=None, max_new_tokens=16, source=SOURCE
)


def load(path: Path) -> Annotations:
    """The task is the file's name up to its first dot; the answer's letter is its place among the candidates."""
    found = Collector("mvbench")
    for file in find(path, SOURCE, "*.json"):
        task = file.name.partition(".")[0]
        for i, row in enumerate(read_rows(file)):
            video = f"{FOLDERS[task]}/{row['video']}" if task in FOLDERS else row["video"]
            start_s, end_s = row.get("start"), row.get("end")
            name = video if start_s is None else f"{video}#{start_s}-{end_s}"
            if task not in FOLDERS or row["answer"] not in row["candidates"]:
                found.reject(
                    name,
                    f"row {i} of {file.name}: task {task!r} or answer {row['answer']!r} is unknown; expected an MVBench task and one of the candidates",
                    video,
                )
                continue
            options = "\n".join(f"({letter}) {candidate}" for letter, candidate in zip(LETTERS, row["candidates"], strict=False))
            text = PROTOCOL.prompt["text"].format(question=row["question"], options=options)
            question = choice(f"{task}-{i}", text, LETTERS[row["candidates"].index(row["answer"])], row["candidates"], task)
            found.ask(name, video, question, start_s=start_s, end_s=end_s)
    return found.annotations()


def table(rows: Sequence[Row]) -> dict[str, float]:
    """Unweighted mean of the twenty tasks (NaN unless all are there), then each, in percent. Unparsed answers stay in the denominator."""
    groups = grouped(rows, "family")
    tasks = {task: 100 * accuracy(groups.get(task, [])) for task in FOLDERS}
    return {"Avg": macro_mean(tasks.values())} | tasks


def official(completion: str) -> str | None:
    """The public harness's parser: any lone letter A-E in any case, so "A man opens the door" is A. For comparison only."""
    if match := re.match(r"^([A-E])\.\s*(.+)$", completion.strip(), re.IGNORECASE):
        return match[1].upper()
    match = re.search(r"\b([A-E])\b", completion, re.IGNORECASE)
    return match[1].upper() if match else None


BENCHMARK = Benchmark(
    "MVBench",
    PROTOCOL,
    load,
    table,
    counts=dict.fromkeys(FOLDERS, 200),
    official=official,
    reported={"Qwen2.5-VL-3B": (51.8,), "Qwen2.5-VL-7B": (57.4,), "VideoPerceiver-3B": (53.4,), "VideoPerceiver-7B": (65.1,)},
)
