"""MVBench (arXiv 2311.17005): twenty tasks of 200 questions."""

import re
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, by_letter, choice, find, read_rows
from videoperceiver.evaluation.columns import pool

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
    prompt={"text": "Question:{question}\nOption:\n{options}\nOnly give the best option.\n"},
    num_frames=16,
    fps=None,
    max_new_tokens=16,
    source=SOURCE,
    spread="centres",
)
_TASKS = {task: pool(task) for task in FOLDERS}


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
            found.ask(name, video, question, start_s=start_s, end_s=end_s, frame_fps=3 if task == "episodic_reasoning" else None)
    return found.annotations()


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
    {"Avg": tuple(_TASKS.values())} | _TASKS,  # unweighted mean of the twenty tasks, then each
    counts=dict.fromkeys(FOLDERS, 200),
    official=by_letter(official),
    reported={"Qwen2.5-VL-3B": (51.8,), "Qwen2.5-VL-7B": (57.4,), "VideoPerceiver-3B": (53.4,), "VideoPerceiver-7B": (65.1,)},
    independent={"Qwen2.5-VL-3B": (67.0,), "Qwen2.5-VL-7B": (69.6,)},
    notes=("Reported: the row Qwen2.5-VL-7B is Video-R1's \"CoT, 16 frames\" row; the model's own report gives 69.6.",),
)
