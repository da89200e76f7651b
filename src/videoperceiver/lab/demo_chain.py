"""What the demo's stages and its report share: its models, its tests, and the record of a chain of runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from videoperceiver.runs import Run
from videoperceiver.stages import DemoConfig

MODELS = ("backbone", "plain", "stage1", "stage2")
TESTS = ("agree", "conflict")
PHASES = "phases.json"


@dataclass
class Demo:
    """What the report needs to know of a finished chain.

    Attributes:
        config: of the demo.
        run: its own run, whose folder holds the others'.
        seconds: phase -> wall-clock seconds, over all sessions of this run.
        runs: name -> run folder.
    """

    config: DemoConfig
    run: Run
    seconds: dict[str, float]
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.run.folder

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of a phase, also of one that is interrupted."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
            self.run.write_json(PHASES, self.seconds)
