"""LLaMA-Factory: a sharegpt file of `conversations` with `videos`, and the dataset_info.json that describes it.

Format: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Sharegpt Format" and "Multimodal Video Dataset": as many videos as there are
`<video>` in the text, paths relative to `media_dir`, which is `dataset_dir` unless named.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from videoperceiver.data.exports.rows import Asked, ExportFormat

COLUMNS = {"video": "videos", "image": "images"}


def row(number: int, asked: Asked) -> dict[str, Any]:
    """One conversation of one question."""
    said = [{"from": "human", "value": asked.tagged}, {"from": "gpt", "value": asked.answer}]
    return {"conversations": said, **({COLUMNS[asked.media]: [asked.path]} if asked.media in COLUMNS else {}), "sample": asked.sample.id, **asked.twins}


def dataset_info(file: str, media: set[str]) -> Mapping[str, Any]:
    """The description without which LLaMA-Factory does not see the file: `dataset: NAME` in its recipe, NAME being the file's stem."""
    columns = {"messages": "conversations"} | {column: column for kind, column in COLUMNS.items() if kind in media}
    return {"dataset_info.json": {PurePath(file).stem: {"file_name": file, "formatting": "sharegpt", "columns": columns}}}


LLAMA_FACTORY = ExportFormat("llama_factory", "videoperceiver_{split}.json", row, array=True, extra=dataset_info)
