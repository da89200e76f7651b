"""Processes in the vLLM environment (make vllm-env), whose interpreter VIDEOPERCEIVER_VLLM_PYTHON names."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.training.engines.family import children_of

from videoperceiver.training.engines import owned

ROOT = Path(__file__).parents[3]
CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}


def interpreter() -> str:
    """The vLLM environment's python; skips the test where there is none."""
    python = os.environ.get("VIDEOPERCEIVER_VLLM_PYTHON", "")
    if not python:
        pytest.skip("VIDEOPERCEIVER_VLLM_PYTHON does not name an interpreter with vLLM; run: make test-vllm")
    return python


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Running:
    """A process of that interpreter, and what watches over it and its children."""

    watch: subprocess.Popen

    @property
    def pid(self) -> int:
        """Of the process itself; the watch's other child is the guard, which leads the group."""
        (pid,) = (child for child in children_of(self.watch.pid) if os.getpgid(child) != child)
        return pid


@contextmanager
def running(arguments: Sequence[str], log: Path, ready: str, deadline_s: float = 300) -> Iterator[Running]:
    """A process of that interpreter, once it has logged `ready`; it and all its children end with the block, and with this process however that ends."""
    environment = {**os.environ, **CPU, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with log.open("wb") as out:
        command = [sys.executable, "-S", owned.__file__, interpreter(), *arguments]
        watch = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True)
    try:
        end = time.monotonic() + deadline_s
        while ready not in log.read_text(errors="replace"):
            if watch.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{arguments} is not ready (exit code {watch.poll()}):\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.5)
        yield Running(watch)
    finally:
        watch.terminate()
        watch.wait()
