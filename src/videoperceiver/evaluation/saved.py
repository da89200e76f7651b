"""What a run folder holds, read leniently: a missing file is told, a damaged one is an error, nothing is made up."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

import yaml

from videoperceiver.errors import RunError

EXPECTED = {
    "data": ("config.yaml", "metadata.json"),
    "sft": ("config.yaml", "metadata.json", "metrics.jsonl"),
    "grpo": ("config.yaml", "metadata.json", "metrics.jsonl"),
    "evaluate": ("config.yaml", "metadata.json", "predictions.jsonl", "result.json"),
}
KNOWN = ("config.yaml", "metadata.json", "status.json", "metrics.jsonl", "predictions.jsonl", "result.json", "rejects.jsonl")
UNSHOWN = ("options", "completions", "scores")
_UNREADABLE = "cannot be read ({}); expected UTF-8 text written by a stage"
PREDICTION_FIELDS = ("sample", "question", "family", "kind", "condition", "completion", "extracted", "reference", "score", "tags", "video")


@dataclass(frozen=True)
class SavedRun:
    """One run folder.

    Attributes:
        name: the folder's name, made unique among the runs read together.
        folder: where it lies.
        stage: "data", "sft", "grpo", "evaluate", or "unknown" where metadata.json is missing.
        config: nested fields of config.yaml, empty where missing.
        metadata: of metadata.json.
        status: "finished", "running", "interrupted", or "unknown".
        metrics: rows of metrics.jsonl.
        predictions: rows of predictions.jsonl, each with `PREDICTION_FIELDS`, no question twice under a condition.
        result: of result.json, None where missing.
        rejects: rows of rejects.jsonl; the file is written at the first reject, so none means none.
        missing: files its stage writes that are not there.
    """

    name: str
    folder: Path
    stage: str
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    status: str = "unknown"
    metrics: Sequence[Mapping[str, Any]] = ()
    predictions: Sequence[Mapping[str, Any]] = ()
    result: Mapping[str, Any] | None = None
    rejects: Sequence[Mapping[str, Any]] = ()
    missing: tuple[str, ...] = ()


def read_saved(folders: Sequence[str | Path]) -> list[SavedRun]:
    """Read run folders, in order.

    Raises:
        RunError: a folder is not there, holds no run file at all, or holds a file that cannot be read.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise RunError("no run folder given: expected at least one, as printed by a stage command")
    return [_read(path, name) for path, name in zip(paths, _names(paths), strict=True)]


def read_config(folder: str | Path) -> dict[str, Any]:
    """The fields of a run, without reading anything else of it; empty where there are none.

    Raises:
        RunError: config.yaml is damaged.
    """
    return _mapping(Path(folder) / "config.yaml")


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest path endings that tell the folders apart."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise RunError(f"the same run folder is given twice: {', '.join(map(str, paths))}; name each once")


def _read(folder: Path, name: str) -> SavedRun:
    present = [file for file in KNOWN if (folder / file).is_file()]
    if not present:
        raise RunError(f"{folder} is not a run folder: expected one of {', '.join(KNOWN)} in it; name the folder that a stage command printed")
    metadata = _mapping(folder / "metadata.json")
    predictions = _lean(_rows(folder / "predictions.jsonl"))
    stage = str(metadata.get("stage") or ("evaluate" if predictions else "unknown"))
    _check(predictions, folder / "predictions.jsonl")
    return SavedRun(
        name=name,
        folder=folder,
        stage=stage,
        config=read_config(folder),
        metadata=metadata,
        status=str(_mapping(folder / "status.json").get("status", "unknown")),
        metrics=list(_rows(folder / "metrics.jsonl")),
        predictions=predictions,
        result=_mapping(folder / "result.json") if "result.json" in present else None,
        rejects=list(_rows(folder / "rejects.jsonl")),
        missing=tuple(file for file in EXPECTED.get(stage, KNOWN[:2]) if file not in present),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {_UNREADABLE.format(error)}") from error


def _mapping(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text or "{}")
    except (yaml.YAMLError, ValueError) as error:
        raise RunError(f"{path}: damaged ({' '.join(str(error).split())}); expected {path.suffix[1:].upper()}, run the stage again") from error
    if not isinstance(content or {}, dict):
        raise RunError(f"{path}: expected fields with values, got {type(content).__name__}; run the stage again")
    return content or {}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file; a torn last line, left by a kill, is not one."""
    for index, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path}, line {index}: damaged ({error}); expected one JSON object a line, remove the line or run the stage again") from error
        if not isinstance(row, dict):
            raise RunError(f"{path}, line {index}: expected a JSON object, got {type(row).__name__}; remove the line or run the stage again")
        yield row


def _lines(path: Path) -> Iterator[str]:
    """Whole lines, one at a time; none where there is no file."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from (line for line in file if line.endswith("\n"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {_UNREADABLE.format(error)}") from error


def _lean(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prediction rows without what no table shows; what they repeat, such as a question under five conditions, is held once."""
    kept, tags = [], dict[str, Any]()
    for row in rows:
        row = {key: intern(value) if isinstance(value, str) and key != "completion" else value for key, value in row.items() if key not in UNSHOWN}
        if "tags" in row:
            row["tags"] = tags.setdefault(json.dumps(row["tags"]), row["tags"])
        kept.append(row)
    return kept


def _check(predictions: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Every prediction has its fields, a score of 0 to 1 or null, and is there once."""
    seen: set[tuple[str, str, str]] = set()
    for index, row in enumerate(predictions, start=1):
        absent = [name for name in PREDICTION_FIELDS if name not in row]
        if absent:
            raise RunError(f"{path}, line {index}: fields {', '.join(absent)} are missing; expected {', '.join(PREDICTION_FIELDS)}; run the evaluation again")
        if not isinstance(row["tags"], dict):
            raise RunError(f"{path}, line {index}: tags are {row['tags']!r}, expected name -> value; run the evaluation again")
        score = row["score"]
        if score is not None and not (isinstance(score, int | float) and 0 <= score <= 1):
            raise RunError(f"{path}, line {index}: score {score!r}, expected a number from 0 to 1 or null; run the evaluation again")
        key = (str(row["sample"]), str(row["question"]), str(row["condition"]))
        if key in seen:
            raise RunError(f"{path}, line {index}: question {key[1]!r} of sample {key[0]!r} is there twice under condition {key[2]!r}; remove one of the lines")
        seen.add(key)
