"""samples.jsonl: completions on V and on V' side by side, as the run went."""

import json
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from videoperceiver.runs import Run
from videoperceiver.stages import WatchConfig
from videoperceiver.training.rollouts import Group

FILE = "samples.jsonl"


class SampleLog:
    """Writes some groups of every so many steps.

    Args:
        run: in whose folder.
        watch: how many, how often.
        start: the first step to come; rows of it and later ones, left by an interrupted session, are dropped.
    """

    def __init__(self, run: Run, watch: WatchConfig, start: int = 0):
        self._run, self._watch = run, watch
        path = run.folder / FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._rows = [row for line in lines if (row := json.loads(line))["step"] < start]

    def see(self, step: int, groups: Sequence[Group]) -> None:
        """Takes in a step's groups."""
        if not self._watch.samples_every or step % self._watch.samples_every or not groups:
            return
        self._rows += [_row(step, group) for group in groups[: self._watch.num_samples]]
        self._run.write_text(FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self._rows))


def _row(step: int, group: Group) -> dict[str, Any]:
    return {
        "step": step,
        "sample": group.sample.id,
        "question": group.question.text,
        "reference": group.question.answer,
        "full": [completion.text for completion in group.completions],
        "degraded": [completion.text for completion in group.degraded],
        "quality": _numbers(group.quality),
        "quality_degraded": _numbers(group.quality_degraded),
        "tries": list(group.tries),
    }


def _numbers(values: Tensor) -> list[float | None]:
    """Null in place of NaN, which JSON has no word for."""
    return [None if math.isnan(value) else round(value, 4) for value in values.tolist()]
