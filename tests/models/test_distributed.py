"""DDP and FSDP2 on two gloo processes equal one process: loss, gradients, with LoRA, checkpointing and uneven trees."""

import itertools

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from videoperceiver.models import Backbone, Lora, TreeBuilder, gathered, generate
from videoperceiver.types import Clip

MODES = ("ddp", "fsdp", "fsdp-segments")
"""The last also makes what leaves early run the last of its blocks short (`models/leaving.py`)."""
DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]


def tree(backbone, rank):
    """Another video, another number of branches on each rank; every rank has V', a second view and keywords."""
    pixels = np.random.default_rng(rank).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    builder = TreeBuilder(backbone, Clip(pixels, np.arange(16) / 4, f"rank{rank}"), DEGRADED)
    video = builder.video(tap=True)
    for answer in ("red", "green ; blue", "one")[: rank + 1]:
        builder.answer(builder.question(video, "what colour ?"), answer)
    builder.degraded(2, tap=True), builder.second_view(dropout=0.0, depth=2), builder.text("flash", depth=2)
    return builder.tree()


def loss_of(out):
    return -out.logps.mean() + out.taps[2].pow(2).mean()


def load(folder, lora, attention="auto"):
    torch.manual_seed(0)
    return Backbone.load(folder, lora=Lora(rank=4) if lora else None, freeze_vision=lora, gradient_checkpointing=True, attention=attention).train()


def full(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def work(rank, folder, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for mode, lora in itertools.product(MODES, (False, True)):
        results[mode, lora, rank] = step(rank, folder, mode, lora)
    dist.destroy_process_group()


def step(rank, folder, mode, lora):
    backbone = load(folder, lora, "segments" if mode == "fsdp-segments" else "auto")
    if mode == "ddp":
        wrapped = DistributedDataParallel(backbone)
    else:
        mesh = init_device_mesh("cpu", (2,))
        for block in [*backbone.adapter.decoder.layers, *backbone.adapter.vision[0].blocks]:
            fully_shard(block, mesh=mesh)
        wrapped = fully_shard(backbone, mesh=mesh)
    loss = loss_of(wrapped([tree(backbone, rank)], [2]))
    loss.backward()
    grads = {name: full(weight.grad).clone() for name, weight in backbone.named_parameters() if weight.grad is not None}
    with gathered(backbone):  # ranks sample different lengths, so a collective inside would hang
        completion = sample(backbone, rank, 3 + 4 * rank)
    again = loss_of(wrapped([tree(backbone, rank)], [2])).detach()
    torch.testing.assert_close(again, loss.detach())
    return loss.detach(), grads, completion


def sample(backbone, rank, length):
    builder = TreeBuilder(backbone, Clip(np.full((16, 32, 32, 3), 40 * rank, np.uint8), np.arange(16) / 4, "x"))
    leaf = builder.question(builder.video(), "what colour ?")
    return generate(backbone, [builder.tree()], [[leaf]], num_generations=2, max_new_tokens=length, temperature=0, seed=0)[0][0][0].token_ids.tolist()


@pytest.fixture(scope="module")
def results(folders, tmp_path_factory):
    """All modes in one pair of processes: starting them is what takes time."""
    with mp.Manager() as manager:
        shared = manager.dict()
        mp.start_processes(work, (folders["qwen2_5_vl"], tmp_path_factory.mktemp("gloo") / "store", shared), nprocs=2, start_method="fork")
        return dict(shared)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_equal_one(folders, results, mode, lora):
    backbone = load(folders["qwen2_5_vl"], lora)
    losses = [loss_of(backbone([tree(backbone, rank)], [2])) for rank in range(2)]
    (sum(losses) / 2).backward()
    for rank in range(2):
        assert results[mode, lora, rank][2] == sample(backbone, rank, 3 + 4 * rank)
        torch.testing.assert_close(results[mode, lora, rank][0], losses[rank].detach(), rtol=1e-4, atol=1e-5)
    expected = {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}
    assert results[mode, lora, 0][1].keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(results[mode, lora, 1][1][name], gradient, rtol=1e-3, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")
