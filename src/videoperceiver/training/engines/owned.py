"""Runs a command that ends with its owner, however that ends: `python -m videoperceiver.training.engines.owned COMMAND ..`

`vllm serve` computes in a child (VLLM::EngineCore) that waits for work for ever once the process above it is killed with -9 (vLLM 0.32), and a server
started by a script outlives a script killed with -9; both keep their GPU. Here the command and its children are one process group, led by a guard. The group
is killed when the command ends, when the process that started this one ends, and, by the guard, when this one is killed itself. Needs nothing but Python
on a POSIX system.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WATCH_S = 0.3
"""Between two looks at who lives."""
GRACE_S = 10.0
"""For a command that was asked to end."""


def run(command: Sequence[str]) -> int:
    """Runs a command until it or its owner, the parent of this process, ends.

    Args:
        command: program and arguments.

    Returns:
        The command's exit status; 128 + n where signal n ended it or this process, as shells tell it.
    """
    owner, group = os.getppid(), _guard()
    asked: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda number, _: asked.append(number))
    try:
        process = subprocess.Popen(command, process_group=group)
        while _lives(process.pid) and not asked and os.getppid() == owner:
            time.sleep(WATCH_S)
        _ask_to_end(group, process.pid)
    finally:
        os.killpg(group, signal.SIGKILL)
        os.waitpid(group, 0)
    status = process.wait()
    if asked:
        return 128 + asked[0]
    return status if status >= 0 else 128 - status


def _guard() -> int:
    """A process that leads a new group, and kills it should this process be killed; its number is the group's."""
    first = os.getpid()
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        return pid
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # the group is asked to end: the guard is the last to go
    while os.getppid() == first:
        time.sleep(WATCH_S)
    os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _lives(pid: int) -> bool:
    """Whether a child runs."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _ask_to_end(group: int, command: int) -> None:
    """Lets the command end in its own way, for a while."""
    os.killpg(group, signal.SIGTERM)
    asked = time.monotonic()
    while _lives(command) and time.monotonic() < asked + GRACE_S:
        time.sleep(WATCH_S)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m videoperceiver.training.engines.owned COMMAND [ARGUMENT ..]")
    try:
        sys.exit(run(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"got {sys.argv[1:]}, which cannot be run ({error}); expected a program and its arguments")
