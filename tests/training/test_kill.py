"""`videoperceiver sft`, killed and interrupted for real: each run is a process of its own, forked because importing torch anew is what takes time."""

import os
import random
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from tests.training import ranks
from tests.training.recipe import RECIPE

from videoperceiver.cli import main
from videoperceiver.runs import Run

STEPS = 10
WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video .", "contrastive.tap_blocks=[2]"]
STATE = ["contrastive.queue_size=4", "contrastive.view_dropout=0.2", "optim.ema_decay=0.9", "checkpoint_every=1", "batch_size=2", f"steps={STEPS}"]


def started(model, data, output, log, *fields):
    """The command in a process of its own."""
    recipe = output.with_suffix(".yaml")
    recipe.write_text(f"output: {output}\n")

    def command(_):
        os.environ.pop("WORLD_SIZE")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so do their children
        sys.argv = ["videoperceiver", "sft", str(recipe), f"model.path={model}", f"train=[{data}]", *RECIPE, *WORDS, *STATE, *fields]
        main()

    return ranks.start(command, log, size=1)[0]


def test_a_run_killed_five_times_at_random_ends_in_the_same_weights(tiny_model, rendered, tmp_path):
    began = time.monotonic()
    process = started(tiny_model, rendered, tmp_path / "whole", tmp_path / "whole-said")
    process.join(120)
    whole_s = time.monotonic() - began
    seed = random.randrange(2**32)
    draw, reached = random.Random(seed), []
    for kill in range(5):
        process = started(tiny_model, rendered, tmp_path / "cut", tmp_path / f"said-{kill}")
        if kill:  # the first may die before it has begun, the others in a step, in a checkpoint or between
            wait_for_a_step(tmp_path / "cut" / "metrics.jsonl")
        time.sleep(draw.uniform(0, 0.1) * whole_s)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        reached.append(sorted(path.name for path in (tmp_path / "cut").glob("checkpoints/*")))
    process = started(tiny_model, rendered, tmp_path / "cut", tmp_path / "last-said")
    process.join(120)
    said = (tmp_path / "last-said-0").read_text()
    assert process.exitcode == 0, f"{said}\nseed {seed}: {reached}"
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), f"seed {seed}: {reached}"
    losses = [[row["sft/loss"] for row in Run.open(tmp_path / name).metrics()] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == STEPS
    assert reached[-1], f"seed {seed}: five kills left no checkpoint"


def wait_for_a_step(metrics):
    """Until the file of metrics has grown since it was taken up."""
    began, until = metrics.stat().st_mtime_ns if metrics.exists() else 0, time.monotonic() + 60
    sizes: list[int] = []
    while time.monotonic() < until:
        size = metrics.stat().st_size if metrics.exists() and metrics.stat().st_mtime_ns != began else 0
        if sizes and size > sizes[-1]:
            return
        sizes.append(size)
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ending_a_run_leaves_no_worker_behind(tiny_model, rendered, tmp_path, how):
    process = started(tiny_model, rendered, tmp_path / "run", tmp_path / "said", "steps=100000", "runtime.num_workers=2", "checkpoint_every=100000")
    until = time.monotonic() + 60
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(process.pid, how)
    process.join(30)
    assert process.exitcode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        said = (tmp_path / "said-0").read_text()
        assert "the same command continues it" in said
        assert "Traceback" not in said
    until = time.monotonic() + 10
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(lives, workers))


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry))
    return found


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False
