"""predictions.jsonl and clips.jsonl, grown a batch at a time: what a kill left behind after the last whole batch is cut off and done again."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from videoperceiver.runs import Run

PREDICTIONS, CLIPS, PROGRESS = "predictions.jsonl", "clips.jsonl", "progress.json"


class Ledger:
    """Rows of a run and how far it is.

    Args:
        run: whose folder they lie in.

    Attributes:
        done: samples of the run's order whose rows are written.
    """

    def __init__(self, run: Run):
        self._run = run
        self._paths = {name: run.folder / name for name in (PREDICTIONS, CLIPS)}
        progress = read_json(run.folder / PROGRESS)
        self.done = int(progress.get("samples", 0))
        for name, path in self._paths.items():
            path.touch()
            os.truncate(path, min(path.stat().st_size, int(progress.get(name, 0))))

    def commit(self, num_samples: int, predictions: Iterable[Mapping[str, Any]], clips: Iterable[Mapping[str, Any]]) -> None:
        """Append a batch of `num_samples` samples."""
        for name, rows in ((PREDICTIONS, predictions), (CLIPS, clips)):
            with self._paths[name].open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
        self.done += num_samples
        self._run.write_json(PROGRESS, {"samples": self.done} | {name: path.stat().st_size for name, path in self._paths.items()})


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def iterate(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a .jsonl file, one at a time; none where there is no file, and no torn last line."""
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))
