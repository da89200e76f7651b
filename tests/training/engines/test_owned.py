"""A command that ends with its owner: each of the processes above a grandchild is killed with -9 in turn, and the grandchild ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.training.engines.family import gone, parent_of

from videoperceiver.training.engines import owned

PROGRAM = Path(owned.__file__)
FAMILY = "sleep 100 & echo $$ $!; wait"  # a command with a child of its own, as `vllm serve` has
OWNER = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"


@pytest.fixture
def family():
    """(owner, its `owned`, command, command's child), running."""
    process = subprocess.Popen([sys.executable, "-S", "-c", OWNER, str(PROGRAM), "sh", "-c", FAMILY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    command, child = map(int, process.stdout.readline().split())
    watcher = parent_of(command)
    yield process.pid, watcher, command, child
    process.kill()
    process.wait()
    process.stdout.close()
    for pid in (watcher, command, child):
        assert gone(pid)


@pytest.mark.parametrize("killed", ["owner", "watcher", "command"])
def test_kill_9_of_anyone_ends_all_below(family, killed):
    os.kill(family[["owner", "watcher", "command"].index(killed)], signal.SIGKILL)
    assert gone(family[2])
    assert gone(family[3])
    assert gone(family[1])


def test_a_term_is_passed_on_and_the_exit_status_is_the_commands(tmp_path):
    said = tmp_path / "said"
    script = f"trap 'echo bye > {said}; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen([sys.executable, "-S", str(PROGRAM), "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    process.stdout.close()
    assert said.read_text() == "bye\n"
    assert subprocess.run([sys.executable, "-S", str(PROGRAM), "sh", "-c", "exit 3"], timeout=20).returncode == 3
    assert subprocess.run([sys.executable, "-S", str(PROGRAM), "sh", "-c", "kill -9 $$"], timeout=20).returncode == 137
    without = subprocess.run([sys.executable, "-S", str(PROGRAM)], capture_output=True, text=True, timeout=20)
    assert without.returncode == 1
    assert "COMMAND" in without.stderr
