"""Processes in the vLLM environment (make vllm-env), whose interpreter VIDEOPERCEIVER_VLLM_PYTHON names."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

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


@contextmanager
def running(arguments: Sequence[str], log: Path, ready: str, deadline_s: float = 300) -> Iterator[subprocess.Popen]:
    """A process of that interpreter, once it has logged `ready`; ended with the block."""
    environment = {**os.environ, **CPU, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with log.open("wb") as out:
        process = subprocess.Popen([interpreter(), *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True)
    try:
        end = time.monotonic() + deadline_s
        while ready not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{arguments} is not ready (exit code {process.poll()}):\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.5)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # `vllm serve` has children
        process.wait()
