"""Video-MME without subtitles (arXiv 2405.21075): 2,700 questions on 900 videos of three lengths."""

from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, choice, find, read_rows
from videoperceiver.evaluation.columns import pool

SOURCE = "https://huggingface.co/datasets/lmms-lab/Video-MME"
DURATIONS = ("short", "medium", "long")
PROTOCOL = Protocol(
    prompt={
        "text": "These are the frames of a video. Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\nQuestion: {question}\n{options}\nAnswer: "
    },
    num_frames=32,
    fps=None,
    max_new_tokens=16,
    source=SOURCE,
)


def load(path: Path) -> Annotations:
    """The family is the video's length, the domain a tag."""
    found = Collector("video-mme")
    for file in find(path, SOURCE, "test*.parquet", "test*.jsonl"):
        for row in read_rows(file):
            text = PROTOCOL.prompt["text"].format(question=row["question"], options="\n".join(row["options"]))
            question = choice(row["question_id"], text, row["answer"], row["options"], row["duration"])
            found.ask(row["videoID"], f"{row['videoID']}.mp4", question, domain=row["domain"], duration=row["duration"])
    return found.annotations()


BENCHMARK = Benchmark(
    "Video-MME (w/o subtitles)",
    PROTOCOL,
    load,
    {"Overall": pool()} | {name: pool(name) for name in DURATIONS},  # micro average, then short, medium and long videos
    counts=dict.fromkeys(DURATIONS, 900),
    reported={"Qwen2.5-VL-3B": (46.6,), "Qwen2.5-VL-7B": (53.1,), "VideoPerceiver-3B": (48.3,), "VideoPerceiver-7B": (63.8,)},
    independent={"Qwen2.5-VL-3B": (61.5,), "Qwen2.5-VL-7B": (65.1,)},
    notes=("Reported: the row Qwen2.5-VL-7B is Video-R1's \"CoT, 16 frames\" row; the model's own report gives 65.1.",),
)
