"""What both stages need around a step: seeds, data order, optimizer, schedule, what stops a run, what is logged of it.

A step is a pure function of (weights, optimizer state, config, step number): every random choice is drawn from a generator
seeded by (seed, step), so that a resumed run repeats an uninterrupted one bit for bit without saving generator states.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor

from videoperceiver.data import mixture
from videoperceiver.errors import BudgetError, RunError, SampleError, VideoReadError
from videoperceiver.models.backbone import BESIDE
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.lora import Lora
from videoperceiver.runs import Run
from videoperceiver.stages import ModelConfig, OptimConfig
from videoperceiver.training.world import World

_SAMPLE_ERRORS = {error.__name__: error for error in (SampleError, VideoReadError, BudgetError)}


def step_rng(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The generator of one step's random choices, the same on all ranks; also seeds torch (dropout, sampling), on each rank its own."""
    sequence = np.random.SeedSequence([seed, step])
    own = np.random.SeedSequence([seed, step, rank]) if rank else sequence
    torch.manual_seed(int(own.generate_state(1, np.uint64)[0] >> 1))
    return np.random.default_rng(sequence)


def batch_indices(num_samples: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Indices of a step's samples: every epoch is its own permutation, batches run on across its end."""
    return mixture.indices([num_samples], [], seed, step * batch_size, batch_size)


def build_optimizer(module: nn.Module, config: OptimConfig, contrastive_lr: float = 0.0) -> torch.optim.AdamW:
    """AdamW over what is trainable; no decay on vectors (norms, biases), as usual.

    Args:
        module: the model.
        config: of the stage.
        contrastive_lr: largest learning rate of what only the contrastive loss trains; 0 = that of all else. It follows the same schedule.
    """
    beside = [p for name, p in module.named_parameters() if p.requires_grad and name.startswith(BESIDE)]
    params = [p for name, p in module.named_parameters() if p.requires_grad and not name.startswith(BESIDE)]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if beside:
        groups.append({"params": beside, "weight_decay": config.weight_decay, "lr_scale": contrastive_lr / config.lr if contrastive_lr else 1.0})
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), fused=True)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """Linear warm-up over `warmup_share` of the steps, then the schedule down to 0."""
    warmup = max(1, round(config.warmup_share * steps)) if config.warmup_share > 0 else 0
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {"constant": 1.0, "linear": 1.0 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[config.schedule]
    return config.lr * factor


def apply_gradients(module: nn.Module, optimizer: torch.optim.Optimizer, lr: float, clip_norm: float, samples: Sequence[str] = ()) -> float:
    """Clip, step, clear. Returns the gradient's norm before clipping, over all shards.

    Raises:
        RunError: the norm is NaN or infinite; the weights are left as they are, and the message names the samples.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    norm = nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], clip_norm, foreach=True)
    norm = (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
    if not math.isfinite(norm):
        of = f"; samples: {', '.join(sorted(set(samples)))}" if samples else ""
        raise RunError(
            f"the norm of the gradient is {norm}, expected a finite number{of}. "
            "The weights are untouched: resume from the last checkpoint with a lower optim.lr, or remove these samples"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def model_options(config: ModelConfig) -> dict[str, Any]:
    """Keyword arguments of Backbone.load for a training stage."""
    return {
        "dtype": config.dtype,
        "freeze_vision": config.freeze_vision,
        "lora": Lora(rank=config.lora_rank) if config.lora_rank else None,
        "gradient_checkpointing": config.gradient_checkpointing,
        "attention": config.attention,
        "video_times": config.video_times,
    }


def require_finite(loss: torch.Tensor, step: int, sample_ids: Sequence[str], run: Run) -> None:
    """Stops a run whose loss is NaN or infinite before it reaches the weights."""
    if not torch.isfinite(loss):
        raise RunError(
            f"the loss of step {step} is {loss.item()}, expected a finite number; samples: {', '.join(sorted(set(sample_ids)))}. "
            f"The weights are untouched: resume from the last checkpoint in {run.folder} with a lower optim.lr, or remove these samples"
        )


def roles(output: TreeOutput, maps: Sequence[Mapping[int, int]]) -> torch.Tensor:
    """(N,) what each labelled token is for: the value its node has in its tree's map, 0 for nodes that are in none."""
    trees, width = (1 + int(highest) for highest in output.node.amax(0).tolist())
    width = max(width, *(1 + node for nodes in maps for node in nodes), 0)
    table = torch.zeros(max(trees, len(maps)), width, dtype=torch.long, device=output.node.device)
    for t, nodes in enumerate(maps):
        for node, role in nodes.items():
            table[t, node] = role
    return table[output.node[:, 0], output.node[:, 1]]


def require_samples(left: Sequence[object], step: int, run: Run) -> None:
    """Stops a run none of whose clips of a step could be read: an update on nothing would only move the optimizer."""
    if not left:
        raise RunError(f"no sample of step {step} could be used; see {run.folder / 'rejects.jsonl'} for the reasons, mend or drop these samples and resume")


def reject(found: Sequence[SampleError], run: Run, world: World, max_reject_rate: float, *, seen: int) -> None:
    """Records the bad samples of all ranks, on all ranks, so that all stop where there are too many.

    Raises:
        RunError: they exceed `max_reject_rate` of the `seen` samples; its message holds a table of reasons.
    """
    rows = world.gather([[type(error).__name__, error.reason, error.path, error.sample_id] for error in found])
    for kind, reason, path, sample_id in chain.from_iterable(rows):
        run.reject(_SAMPLE_ERRORS.get(kind, SampleError)(reason, path=path, sample_id=sample_id))
    if any(rows):
        run.check_rejects(max_reject_rate, seen=seen)


def whole_step(parts: Sequence[Mapping[str, float]], sizes: Sequence[int], additive: Collection[str], world: World) -> dict[str, float]:
    """What is logged of a step, from what its micro-batches and the other ranks logged.

    Args:
        parts: of each micro-batch of this rank.
        sizes: its clips.
        additive: names of values that are shares of the step's (`name_b16` is one of `name`); the others are means, weighted by clips where they were measured.
        world: the ranks; each logs the same names.
    """
    merged = dict(parts[0])
    for name in merged if len(parts) > 1 else ():
        values = [part.get(name, math.nan) for part in parts]
        measured = [(value, size) for value, size in zip(values, sizes, strict=True) if math.isfinite(value) and size]
        if name.split("_b")[0] in additive:
            merged[name] = sum(value for value in values if math.isfinite(value))
        else:
            merged[name] = sum(value * size for value, size in measured) / sum(size for _, size in measured) if measured else math.nan
    return {name: total / world.size for name, total in world.sum(merged).items()} if world.size > 1 else merged
