"""Two processes that believe torchrun started them: forked, because importing torch anew is what takes time."""

import logging
import multiprocessing as mp
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(work: Callable[[int], object], log: Path, size: int = 2) -> list[mp.process.BaseProcess]:
    """`work(rank)` in `size` processes; what each says goes to LOG-RANK."""
    port, context = free_port(), mp.get_context("fork")
    processes = [context.Process(target=_be, args=(rank, size, port, work, log)) for rank in range(size)]
    for process in processes:
        process.start()
    return processes


def _be(rank: int, size: int, port: int, work: Callable[[int], object], log: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    file = log.with_name(f"{log.name}-{rank}").open("w", buffering=1)
    os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = file, file
    logging.getLogger().handlers = [logging.StreamHandler(file)]  # in place of pytest's
    work(rank)  # multiprocessing prints what it raises


def finish(processes: list[mp.process.BaseProcess], log: Path, timeout_s: float = 120) -> list[str]:
    """What each rank said, once all have ended well."""
    for process in processes:
        process.join(timeout_s)
    said = [log.with_name(f"{log.name}-{rank}").read_text() for rank in range(len(processes))]
    for process in processes:
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * len(processes), "\n".join(said)
    return said
