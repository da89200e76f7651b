"""What a run folder says of its data set beside the manifest: sources, counts, rules, rejects, recipe."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from videoperceiver.data.sources import SOURCES
from videoperceiver.errors import RunError
from videoperceiver.runs import flat

PRIVATE = ("source", "output", "annotate.server.base_url")
"""Settings that name places where the data set was built: they stay there."""


@dataclass
class Reason:
    """Why something was left out: how often, and one instance."""

    text: str
    count: int = 0
    instance: str = ""


@dataclass(frozen=True)
class Papers:
    """What the run folder says beside the manifest.

    Attributes:
        terms: of the source that was read; empty where they are the user's own.
        notes: what differs from the published release.
        result: counts of the run.
        rejects: why clips were left out.
        rules: rule, says, checked, dropped and example of each rule, from result.json, or counted from dropped.jsonl where it has none.
        settings: of the recipe, dotted.
        versions: of the packages that built it.
        git: the commit that built it.
    """

    terms: str
    notes: Sequence[str]
    result: Mapping[str, Any]
    rejects: Sequence[Reason]
    rules: Sequence[Mapping[str, Any]]
    settings: Mapping[str, object]
    versions: Mapping[str, object]
    git: str

    @classmethod
    def read(cls, folder: Path) -> "Papers":
        """Of a run folder; what is not there is empty.

        Raises:
            RunError: a file is damaged.
        """
        source = record(folder / "source.json")
        result = record(folder / "result.json")
        metadata = record(folder / "metadata.json")
        config = folder / "config.yaml"
        settings = flat(_yaml(config)) if config.is_file() else {}
        return cls(
            terms=str(source.get("terms") or ""),
            notes=[str(note) for note in source.get("notes") or ()],
            result=result,
            rejects=reasons(folder / "rejects.jsonl"),
            rules=[*result.get("rules", ())] or _counted(folder / "dropped.jsonl"),
            settings={name: _public(value) for name, value in settings.items() if name not in PRIVATE},
            versions=metadata.get("versions", {}),
            git=str(metadata.get("git") or ""),
        )

    def terms_of(self, source: str) -> str:
        """The terms of a row's source: those of the run's, else those that we know of a source of that name; "" where nobody told."""
        return self.terms or next((known.terms for name, known in SOURCES.items() if source and name.startswith(source)), "")


def _yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not YAML ({error}); restore the recipe, or remove the file: the card does without it") from error
    return value if isinstance(value, dict) else {}


def _public(value: object) -> object:
    """A setting without the folders that it names."""
    if isinstance(value, list):
        return [_public(item) for item in value]
    return Path(value).name if isinstance(value, str) and (value.startswith(("/", "~", "..")) or "://" in value) else value


def _counted(path: Path) -> list[dict[str, Any]]:
    """Drops by rule, with the first as the instance, where nobody counted what the rules were applied to."""
    found: dict[str, dict[str, Any]] = {}
    for row in lines(path):
        rule = found.setdefault(str(row.get("rule") or "unnamed"), {"dropped": 0, "example": f"{row.get('reason') or ''}: {row.get('text') or ''}"})
        rule["dropped"] += 1
    return [{"rule": name, **rule} for name, rule in found.items()]


def reasons(path: Path, *, limit: int = 200) -> list[Reason]:
    """Why clips were rejected, the most frequent first; reasons that differ in their numbers and names alone are one.

    Args:
        path: a run's rejects.jsonl, which may be missing.
        limit: of different reasons; later ones count together.
    """
    found: dict[str, Reason] = {}
    for row in lines(path):
        text = str(row.get("reason") or "no reason given")
        key = re.sub(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*", "_", text)
        key = key if key in found or len(found) < limit else ""
        reason = found.setdefault(key, Reason(text if key else "other reasons", 0, str(row.get("sample_id") or row.get("path") or "unnamed")))
        reason.count += 1
    return sorted(found.values(), key=lambda reason: -reason.count)


def public(text: str) -> str:
    """A message without the folders of the machine that wrote it."""
    return re.sub(r"(?<![\w.:/])/(?:[^\s/'\"]+/)+", "…/", text)


def lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a JSON-lines file, one at a time; none where it is missing. A torn last line, left by a kill, is not one.

    Raises:
        RunError: another line is no JSON object.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise RunError(f"{path}:{number}: not JSON ({error}); remove the line, the card does without it") from error
            if not isinstance(row, dict):
                raise RunError(f"{path}:{number}: got {type(row).__name__}, expected a JSON object; remove the line")
            yield row


def record(path: Path) -> Mapping[str, Any]:
    """A JSON file's object; an empty one where there is no such file.

    Raises:
        RunError: it is damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); build the data set anew, or remove the file: the card does without it") from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: got {type(value).__name__}, expected a JSON object; build the data set anew")
    return value
