"""TempCompass (arXiv 2403.00476): five temporal aspects of 410 videos, asked in three closed forms; its captions need a judge and are left out."""

import re
from pathlib import Path

from videoperceiver import answers
from videoperceiver.evaluation.benchmarks.base import LETTERS, Annotations, Benchmark, Collector, Protocol, find, read_json
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row
from videoperceiver.types import Question

SOURCE = "https://github.com/llyx97/TempCompass"
ASPECTS = ("action", "direction", "speed", "order", "attribute_change")
TASKS = {"multi-choice": "Multi-Choice", "yes_no": "Yes/No", "caption_matching": "Caption Matching"}
_COUNTS = {"multi-choice": (338, 335, 317, 302, 288), "yes_no": (592, 494, 537, 382, 448), "caption_matching": (297, 327, 291, 300, 288)}
_BEST = "\nPlease directly give the best option:"
PROTOCOL = Protocol(
    prompt={"multi-choice": "{question}" + _BEST, "yes_no": "{question}\nPlease answer yes or no:", "caption_matching": "{question}" + _BEST},
    num_frames=None,
    fps=1.0,
    max_new_tokens=128,
    source=SOURCE,
    max_pixels=720 * 720,
)
_NAMED = re.compile(r"(?:(?:option|sentence|caption)\s*([A-B1-2])\b|^\W*([A-B1-2])(?=\W*$|[.):]))", re.IGNORECASE)


def load(path: Path) -> Annotations:
    """One sample a video, with its questions of every form; the family is form/aspect."""
    found = Collector("tempcompass")
    for task in TASKS:
        for file in find(path, SOURCE, f"{task}*.json"):
            if task not in file.name:
                continue  # a single file was given: it holds one form
            for video, aspects in read_json(file).items():
                for aspect, rows in aspects.items():
                    for i, row in enumerate(rows):
                        found.ask(video, f"{video}.mp4", _question(task, aspect, i, row["question"], row["answer"]))
    return found.annotations()


def _question(task: str, aspect: str, i: int, asked: str, answer: str) -> Question:
    text, name, family = PROTOCOL.prompt[task].format(question=asked), f"{task}/{aspect}/{i}", f"{task}/{aspect}"
    lines = tuple(asked.split("\n")[1:])
    if task == "yes_no":
        return Question(name, text, answer, "yes_no", family, ("yes", "no"))
    letter = LETTERS[lines.index(answer)] if answer in lines else answer  # an answer outside the options is rejected by the collector
    if task == "caption_matching":
        lines = tuple(f"{label}. {line.partition(': ')[2]}" for label, line in zip(LETTERS, lines, strict=False))
    return Question(name, text, letter, "choice", family, lines)


def read(completion: str, question: Question) -> tuple[str | None, float]:
    """As the shared parser does; a caption may also be named by its label ("Option 2", "Sentence A", "1")."""
    if question.family.startswith("caption_matching"):
        named = {LETTERS["AB12".index((match[1] or match[2]).upper()) % 2] for match in _NAMED.finditer(completion.strip())}
        if len(named) == 1:
            [letter] = named
            return letter, float(letter == question.answer)
    given = answers.extract(completion, question.kind, question.options)
    return given, answers.compare(completion, question.answer, question.kind, question.options)


def official_score(row: Row) -> float:
    """The official rules without their judge: exact forms at the start of the completion, everything else 0."""
    said = (row["completion"] or "").replace("</s>", "").strip()
    if row["kind"] == "yes_no":
        return float(said.lower().startswith(row["reference"]))
    place = LETTERS.index(row["reference"])
    wording = row["options"][place].partition(". ")[2]
    if row["family"].startswith("caption_matching"):
        label, number = LETTERS[place], str(place + 1)
        named = {f"Sentence {label}", f"Caption {label}", f"Option {number}", label, number}
        return float(said == wording or said.rstrip(".") in named or any(said == f"{name}: {wording}" for name in named))
    return float(said == row["options"][place] or said == row["reference"] or said.startswith((f"{row['reference']}.", f"{row['reference']})")))


def _forms(*aspects: str) -> dict[str, tuple[str, ...]]:
    return {task: tuple(f"{task}/{aspect}" for aspect in aspects or ASPECTS) for task in TASKS}


_TASKS = {heading: pool(*_forms()[task]) for task, heading in TASKS.items()}
_ASPECTS = {aspect: pool(*(family for families in _forms(aspect).values() for family in families)) for aspect in ASPECTS}
BENCHMARK = Benchmark(
    "TempCompass (without captioning)",
    PROTOCOL,
    load,
    {"Avg": tuple(_TASKS.values())} | _TASKS | _ASPECTS,  # mean of the three forms, each form, then each aspect over all forms
    counts={f"{task}/{aspect}": count for task, numbers in _COUNTS.items() for aspect, count in zip(ASPECTS, numbers, strict=True)},
    read=read,
    official=official_score,
    independent={"Qwen2.5-VL-3B": (64.4,), "Qwen2.5-VL-7B": (71.7,)},
    notes=("Independent: over all four forms, captioning with its judge included, so not the same mean.",),
)
