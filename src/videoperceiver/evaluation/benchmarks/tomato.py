"""TOMATO (arXiv 2410.23266): six kinds of visual temporal reasoning that single or shuffled frames do not give away."""

import re
from pathlib import Path

from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, by_letter, choice, find, read_json
from videoperceiver.evaluation.columns import pool

SOURCE = "https://github.com/yale-nlp/TOMATO"
COUNTS = {"rotation": 286, "direction": 403, "velocity&frequency": 210, "shape&trend": 223, "visual cues": 70, "count": 292}
PROTOCOL = Protocol(  # the system prompt of other models' scripts is not sent by the official Qwen script, nor here
    prompt={
        "text": "You will be provided with 16 separate frames uniformly sampled from a video, the frames are provided in chronological order of the video. "
        "Analyze these frames and provide the answer to the question about the video content. Answer the multiple-choice question about the video content. \n\n"
        "You must use these frames to answer the multiple-choice question; do not rely on any externel knowledge or commonsense. \n\n"
        "<question> \n{question} \n</question>\n\n<options> \n{options} \n</options>\n\n"
        "Even if the information in these separate frames is not enough to answer the question, PLEASE TRY YOUR BEST TO GUESS AN ANSWER WHICH YOU THINK WOULD "
        "BE THE MOST POSSIBLE ONE BASED ON THE QUESTION. \n\nDO NOT GENERATE ANSWER SUCH AS 'NOT POSSIBLE TO DETERMINE.' \n"
    },
    num_frames=16,
    fps=None,
    max_new_tokens=1024,
    source=SOURCE,
)


def load(path: Path) -> Annotations:
    """One sample a video, `<demonstration type>/<key>.mp4`; the answer is the option's index from 0."""
    found = Collector("tomato")
    for file in find(path, SOURCE, "*.json"):
        for number, row in read_json(file).items():
            video = f"{row['demonstration_type']}/{row['key']}"
            if not isinstance(row["answer"], int) or not 0 <= row["answer"] < len(row["options"]):
                found.reject(video, f"row {number} of {file.name}: its answer is {row['answer']!r}, expected the index of one of its options", f"{video}.mp4")
                continue
            listed = dict(zip(LETTERS, row["options"], strict=False))
            text = PROTOCOL.prompt["text"].format(question=row["question"], options=listed)
            question = choice(f"{row['motion_type']}-{number}", text, LETTERS[row["answer"]], row["options"], row["motion_type"])
            found.ask(video, f"{video}.mp4", question, demonstration=row["demonstration_type"])
    return found.annotations()


def official(completion: str) -> str | None:
    """The official first step: a lone letter or "Answer is: X". What it cannot read goes to GPT-4o-mini there, and in the end to chance; here it is wrong."""
    text = completion.strip()
    if len(text) == 1 and text.upper() in LETTERS:
        return text.upper()
    match = re.match(r"^Answer is:?[\(]?([A-Fa-f])[\)]?$", text)
    return match[1].upper() if match else None


BENCHMARK = Benchmark(
    "TOMATO",
    PROTOCOL,
    load,
    {"Overall": pool()} | {family: pool(family) for family in COUNTS},  # micro average, then each kind
    counts=COUNTS,
    official=by_letter(official),
)
