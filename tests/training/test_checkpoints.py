"""Checkpoints: complete or absent, the last and the best kept, those of another model refused, no pickle in them."""

import json
import os
import shutil
import subprocess

import pytest
import torch

from videoperceiver.config import load
from videoperceiver.errors import RunError
from videoperceiver.runs import Run
from videoperceiver.stages import ModelConfig, OptimConfig, RuntimeConfig
from videoperceiver.training import checkpoints
from videoperceiver.training.policy import Policy, trained


def policy_of(model, **optim) -> Policy:
    policy = Policy.load(ModelConfig(path=str(model), dtype="float32"), OptimConfig(**optim), RuntimeConfig())
    for weight in trained(policy.backbone).values():
        weight.grad = torch.ones_like(weight)
    policy.update(0.1, 1.0)
    return policy


@pytest.fixture(scope="module")
def policy(tiny_model) -> Policy:
    return policy_of(tiny_model)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.open_or_create(tmp_path / "run", load(OptimConfig), stage="sft")


def names(run):
    return sorted(path.name for path in (run.folder / "checkpoints").iterdir())


def test_everything_comes_back(run, policy, tiny_model):
    queue = {"2.video": torch.arange(6.0).view(2, 3), "2.ids": torch.tensor([4, -1])}
    checkpoints.save(run, policy, 7, extra={"baseline": {"value": 0.1 + 0.2}}, tensors=queue, metrics={"held_out/x": 0.5, "held_out/y": float("nan")})
    other = Policy.load(ModelConfig(path=str(tiny_model), dtype="float32"), OptimConfig(), RuntimeConfig())
    state = checkpoints.resume(run, other)
    assert (state.step, state.extra, state.metrics) == (7, {"baseline": {"value": 0.1 + 0.2}}, {"held_out/x": 0.5})
    assert state.tensors.keys() == queue.keys()
    assert all(torch.equal(state.tensors[name], value) for name, value in queue.items())
    for (name, ours), theirs in zip(trained(policy.backbone).items(), trained(other.backbone).values(), strict=True):
        assert torch.equal(ours, theirs), name
        for kind, value in policy.optimizer.state[ours].items():
            assert torch.equal(value, other.optimizer.state[theirs][kind]), (name, kind)
    assert sorted(path.suffix for path in run.checkpoint_path(7).iterdir()) == [".json", ".safetensors"]  # nothing that could be a pickle


def test_nothing_saved_is_nothing_resumed(run, policy):
    assert checkpoints.resume(run, policy) is None


def test_the_last_and_the_best_are_kept(run, policy):
    for step, figure in ((1, 0.2), (2, 0.9), (3, None), (4, 0.9), (5, 0.1), (6, None)):
        metrics = {} if figure is None else {"held_out/accuracy_full": figure}
        checkpoints.save(run, policy, step, metrics=metrics, keep=2, best_by="accuracy_full")
    assert names(run) == ["step-00000004", "step-00000005", "step-00000006"]  # of equals the later
    assert checkpoints.best(run.folder / "checkpoints", "accuracy_full") == run.checkpoint_path(4)
    assert checkpoints.best(run.folder / "checkpoints", "other") is None


def test_a_checkpoint_half_written_or_half_removed_is_not_one(run, policy):
    checkpoints.save(run, policy, 2)
    for name in (".step-00000004.part", ".step-00000001.gone"):
        shutil.copytree(run.checkpoint_path(2), run.folder / "checkpoints" / name)
    assert checkpoints.newest(run) == run.checkpoint_path(2)
    checkpoints.save(run, policy, 4)
    assert names(run) == ["step-00000002", "step-00000004"]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, policy):
    """A file system of its own, too small for two checkpoints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", disk], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        run = Run.open_or_create(disk / "run", load(OptimConfig), stage="sft")
        checkpoints.save(run, policy, 2)
        before = checkpoints.weights(run.checkpoint_path(2))
        free = shutil.disk_usage(disk).free
        (disk / "other").write_bytes(bytes(free - 100_000))
        with pytest.raises(
            RunError, match=r"step-00000004: the checkpoint could not be written \(.*(No space left|os error 28).*free space or name another output"
        ):
            checkpoints.save(run, policy, 4)
        assert names(run) == ["step-00000002"]
        assert checkpoints.newest(run) == run.checkpoint_path(2)
        assert all(torch.equal(before[name], weight) for name, weight in checkpoints.weights(run.checkpoint_path(2)).items())
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_another_model_s_checkpoint_is_refused(run, policy, tiny_model):
    checkpoints.save(run, policy, 2)
    lora = Policy.load(ModelConfig(path=str(tiny_model), dtype="float32", lora_rank=2), OptimConfig(), RuntimeConfig())
    with pytest.raises(RunError, match=r"step-00000002: the checkpoint is of another model: .* has shape .* use the recipe it was made with"):
        checkpoints.resume(run, lora)


def test_a_damaged_checkpoint_is_named(run, policy):
    checkpoints.save(run, policy, 2)
    part = run.checkpoint_path(2) / "rank-00000.safetensors"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(RunError, match=r"step-00000002: the checkpoint is damaged .* remove this folder"):
        checkpoints.resume(run, policy)
    state = run.checkpoint_path(2) / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"schema": 99}))
    with pytest.raises(RunError, match="checkpoint format 99, this version reads 1"):
        checkpoints.resume(run, policy)


def test_averaged_weights_are_there_or_missed(run, policy, tiny_model):
    checkpoints.save(run, policy, 2)
    with pytest.raises(RunError, match=r"keeps no moving average; train with optim\.ema_decay"):
        checkpoints.weights(run.checkpoint_path(2), average=True)
    averaged = policy_of(tiny_model, ema_decay=0.5)
    checkpoints.save(run, averaged, 3)
    found = checkpoints.weights(run.checkpoint_path(3), average=True)
    assert all(torch.equal(found[name], value) for name, value in averaged.average.items())


def test_rows_are_read_from_whichever_part_holds_them(tmp_path):
    """A weight of 5 rows in parts of 2, 2 and 1, read as two ranks would: 3 and 2."""
    from safetensors.torch import save_file

    weight = torch.arange(10.0).view(5, 2)
    for rank, first in enumerate((0, 2, 4)):
        save_file(
            {"weight|w": weight[first : first + 2].clone(), "step|w": torch.tensor(3.0)},
            tmp_path / f"rank-{rank:05d}.safetensors",
            {"rows": json.dumps({"weight|w": first})},
        )
    with checkpoints.Parts(tmp_path, 3) as parts:
        assert torch.equal(parts.rows("weight|w", 0, 3), weight[:3])
        assert torch.equal(parts.rows("weight|w", 3, 2), weight[3:])
        assert parts.rows("weight|w", 5, 0).shape == (0, 2)
        assert torch.equal(parts.whole("weight|w"), weight)
        assert parts.rows("step|w", 0, 1).item() == 3.0
