"""Workers that misbehave as told, for executors in other processes to make by name."""

import os
import signal
import time
from importlib import import_module
from pathlib import Path

from videoperceiver.data.prepare import Preparation, make_worker
from videoperceiver.errors import ConfigError


class Doubler:
    """Doubles numbers; a row may ask for a death, an error or a pause first, or for the name of the Ray task that it is part of."""

    def __init__(self, settings: str):
        self.settings = settings

    def answer(self, rows):
        return [self._answer(row) for row in rows]

    def _answer(self, row):
        if row.get("always") or (row.get("once") and not Path(row["once"]).exists()):
            Path(row.get("once", self.settings)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "error" in row:
            raise ConfigError(row["error"]) if row["error"] == "ours" else RuntimeError(row["error"])
        time.sleep(row.get("sleep_s", 0))
        if "task" in row:
            return {"task": import_module("ray").get_runtime_context().get_task_name()}
        return {"n": 2 * row["n"], "settings": self.settings}

    def close(self):
        pass


def make_doubler(settings: str) -> Doubler:
    return Doubler(settings)


def died(row, ending):
    return {"n": row["n"], "died": ending}


class Dying:
    """Prepares clips, but the process that first comes to the given one is killed while others are under way."""

    def __init__(self, prepared: Preparation, name: str, marker: Path):
        self._prepared, self._name, self._marker = prepared, name, marker

    def answer(self, rows):
        if not self._marker.exists() and any(row["sample"]["id"] == self._name for row in rows):
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._prepared.answer(rows)

    def close(self):
        self._prepared.close()


def make_dying(recipe: str) -> Dying:
    """Kills itself once, at the clip named in `dies_at` beside the run folder."""
    folder = Path(recipe).parent.parent
    return Dying(make_worker(recipe), (folder / "dies_at").read_text(), folder / "died")
