"""VRU-Accident (arXiv 2507.09815): six questions and a dense caption on each of 1,000 dash-camera accidents."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Collector, Protocol, by_letter, choice, find, read_json
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row
from videoperceiver.types import Question

SOURCE = "https://github.com/Kimyounggun99/VRU-Accident"
FAMILIES = {
    "weather and light": "Weather & Light",
    "location": "Traffic Environment",
    "road type": "Road Configuration",
    "accident type": "Accident Type",
    "accident reason": "Accident Cause",
    "prevention method": "Accident Prevention",
}
"""Category key -> heading of the paper's Table 2, in its order."""

CAPTION_FAMILY = "Dense Caption"
MAX_NEW_TOKENS_CAPTION = 200
PROTOCOL = Protocol(
    prompt={
        "vqa": "{question} {options}",
        "closing": "Choose the correct option (A, B, C, or D) without any explanations.",  # stands in the annotated questions themselves
        "caption": "Provide a detailed description of this crash video.\n"
        "Use clear and complete sentences with appropriate traffic and crash-related terminology.\n"
        "Include descriptions of weather conditions, road type, and vehicle or pedestrian appearance (such as clothing and posture).\n"
        "Mention vehicle speed, trajectory, and movements, as well as any changes in the pedestrian's behavior.\n"
        "Focus on the dynamics of the collision, including vehicle approach, pedestrian movement, and final impact.",
    },
    num_frames=8,
    fps=None,
    max_new_tokens=10,
    source=SOURCE,
    text_first=True,
    spread="starts",
)
_CATEGORIES = {family: pool(family) for family in FAMILIES.values()}


def load(path: Path) -> Annotations:
    """Questions from the `*_VQA_annotation.json` files, captions from the `*_Dense_Caption.json` files, joined by the video's name."""
    found = Collector("vru-accident")
    for file in find(path, SOURCE, "*_VQA_annotation.json"):
        for video, categories in read_json(file).items():
            name, subset = _name(video), _name(video).split("/")[-2]
            for category, row in categories.items():
                text = PROTOCOL.prompt["vqa"].format(question=row["question"], options=row["options"])
                question = choice(category, text, row["GT"], split_options(row["options"]), FAMILIES.get(str(category), str(category)))
                found.ask(name, f"{name}.mp4", question, subset=subset)
    for file in sorted(path.rglob("*_Dense_Caption.json")) if path.is_dir() else []:
        for video, row in read_json(file).items():
            caption = Question("caption", PROTOCOL.prompt["caption"], row["gt"], "open", CAPTION_FAMILY)
            found.ask(_name(video), f"{_name(video)}.mp4", caption, subset=_name(video).split("/")[-2])
    return found.annotations()


def _name(video: str) -> str:
    return video.removeprefix("./").removesuffix(".mp4")


def split_options(text: str) -> tuple[str, ...]:
    """The four options of one line, labels kept as "A. "; () unless A to D occur in order. Some lack the space or have a dot for the comma."""
    starts, at = [], 0
    for letter in "ABCD":
        label = re.compile(rf"(?:^|[\s,.;]){letter}[.)]\s*").search(text, at)
        if label is None:
            return ()
        starts.append(label)
        at = label.end()
    ends = [label.start() for label in starts[1:]] + [len(text)]
    wordings = [text[label.end() : end].strip(" ,;") for label, end in zip(starts, ends, strict=True)]
    return tuple(f"{letter}. {wording}" for letter, wording in zip("ABCD", wordings, strict=True)) if all(wordings) else ()


def official(completion: str) -> str | None:
    """The official parser for Qwen models: the first lone A-D of the last line, so "A man was hit" is A. For comparison only."""
    line = completion.split("\n")[-1]
    match = re.search(r"\b[A-D]\b", line)
    return match[0] if match else None


def read_responses(path: Path) -> Iterator[Row]:
    """Prediction rows from the `*_VQA_response.json` files that the authors committed; what their parser could not read is unparsed."""
    for file in find(path, SOURCE, "*_VQA_response.json"):
        for video, categories in read_json(file).items():
            for category, row in categories.items():
                yield _row(_name(video), category, row)


def _row(name: str, category: str, row: Mapping[str, Any]) -> Row:
    given = (row["pred"] or "").strip().upper() or None
    return {
        "sample": name,
        "question": category,
        "family": FAMILIES.get(category, category),
        "kind": "choice",
        "condition": "full",
        "completion": row["pred"],
        "extracted": given,
        "reference": row["GT"].strip().upper(),
        "score": None if given is None else float(given == row["GT"].strip().upper()),
        "tags": {"subset": name.split("/")[-2]},
        "num_frames": 8,
        "video": name,
    }


BENCHMARK = Benchmark(
    "VRU-Accident",
    PROTOCOL,
    load,
    _CATEGORIES | {"Avg": tuple(_CATEGORIES.values())},  # the six categories, then their unweighted mean
    counts=dict.fromkeys([*FAMILIES.values(), CAPTION_FAMILY], 1000),
    official=by_letter(official),
    reported={
        "Qwen2.5-VL-3B": (63.8, 72.1, 39.4, 47.3, 25.6, 44.7, 48.8),
        "Qwen2.5-VL-7B": (70.3, 59.6, 34.1, 60.1, 41.4, 46.8, 52.1),
        "VideoPerceiver-3B": (73.4, 75.1, 60.1, 74.4, 54.1, 57.8, 66.4),
        "VideoPerceiver-7B": (76.7, 83.7, 68.4, 80.1, 61.2, 60.4, 73.7),
    },
    notes=(
        "Reported: the row Qwen2.5-VL-7B equals, digit for digit, the benchmark's official row of Qwen2-VL-7B.",
        "Reported: the averages of VideoPerceiver-3B and -7B are not the means of their six categories, which are 65.8 and 71.75.",
        "287 of the clips come from MM-AU's CAP and 223 from DADA-2000, and MM-AU is a training source of the paper: check for contamination.",
    ),
)
