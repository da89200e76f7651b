"""Video-R1: one JSON array of questions with `<answer>..</answer>` solutions.

Format: the README of https://huggingface.co/datasets/Video-R1/Video-R1-data, and what the loaders read
(https://github.com/tulerfeng/Video-R1/blob/main/src/r1-v/src/open_r1/grpo.py and sft_video.py): `path` begins with "./" and is looked for below
`Video-R1-data` in the working folder; the options of a multiple choice are appended to `problem` by the loader, and so is the answer's format. So
`problem` is our prompt without its lines of options and without the line that asks for a letter. `process`, the reasoning that its stage 1 trains on,
is empty: we have none.
"""

from typing import Any

from videoperceiver.answers import extract
from videoperceiver.data.annotate.prompts import templates
from videoperceiver.data.exports.rows import Asked, ExportFormat

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PROBLEM_TYPES = {"choice": "multiple choice", "number": "numerical", "time": "regression"}
"""Ours -> theirs; all others are "free-form"."""


def row(number: int, asked: Asked) -> dict[str, Any] | str:
    """One question; a reason where it has no place there."""
    question = asked.question
    assert question is not None, "captions are left out of this format"
    if asked.media == "none":
        return "rows of text alone have no data_type there"
    kind = PROBLEM_TYPES.get(question.kind, "free-form")
    answer = question.answer.strip() if kind == "free-form" else extract(question.answer, question.kind, question.options)
    if answer is None:
        return f"its reference cannot be read as a {kind} answer"
    if "<answer>" in answer or "</answer>" in answer:
        return "its reference holds an <answer> tag, which is theirs"
    options = labelled(question.options) if kind == "multiple choice" else []
    if kind == "multiple choice" and len(options) < 2:
        return "a multiple choice without options"
    return {
        "problem_id": number,
        "problem": without_options(question.text, question.options) if options else question.text,
        "data_type": asked.media,
        "problem_type": kind,
        "options": options,
        "process": "",
        "solution": f"<answer>{answer}</answer>",
        "path": f"./{asked.path}",
        "data_source": asked.sample.source,
        **asked.twins,
    }


def labelled(options: tuple[str, ...]) -> list[str]:
    """Options with their letters, as "A. red"."""
    return [option if option.startswith(f"{letter}.") else f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def without_options(text: str, options: tuple[str, ...]) -> str:
    """A question without the lines that list its options and the one that asks for a letter, which their loader adds."""
    listed = {*options, *labelled(options), templates()["formats"]["choice"]}
    return "\n".join(line for line in text.split("\n") if line.strip() not in listed)


VIDEO_R1 = ExportFormat("video_r1", "Video-R1-{split}.json", row, array=True, captions=False)
