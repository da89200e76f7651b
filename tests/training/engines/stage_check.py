"""Run by the vLLM environment's interpreter, or by torchrun there: stage 2 itself with an engine in its own process; each rank writes rank-N.json.

Argument: {"model": folder, "data": manifest, "output": folder, "runs": {name: overrides}}.
"""

import json
import os
import sys
from pathlib import Path

from tests.training.engines.family import children_of
from tests.training.groups import config_of

from videoperceiver.errors import EngineError
from videoperceiver.training import grpo
from videoperceiver.training.engines.vllm_model import VllmModel

CALLS: list[str] = []


def noted(name: str):
    """A method of VllmModel that also writes down that it was called, and whether that left the engine asleep."""
    method = getattr(VllmModel, name)

    def call(self, *arguments):
        result = method(self, *arguments)
        CALLS.append(f"{name}, asleep" if self.asleep else name)
        return result

    return call


for method in ("sample", "load", "load_adapter", "sleep", "close"):
    setattr(VllmModel, method, noted(method))
given = json.loads(sys.argv[1])
result = {}
for run_name, overrides in given["runs"].items():
    CALLS.clear()
    error, folder = "", Path(given["output"]) / run_name
    try:
        grpo.run(config_of(given["model"], Path(given["data"]), folder, *overrides))
    except EngineError as stopped:
        error = str(stopped)
    result[run_name] = {"error": error, "calls": list(CALLS), "children": children_of(os.getpid())}
(Path(given["output"]) / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(result))
