"""Memory of one GPU: what lies there always, and the most that a step adds, found by running the step's own code on the meta device."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn

from videoperceiver.losses.counterfactual import product_of_experts
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.live import ACTIVATIONS, GRADIENTS, LOGITS, LiveMemory
from videoperceiver.models.lora import Lora
from videoperceiver.models.meta import HalfPrecision, MetaBackbone
from videoperceiver.models.tree import Tree
from videoperceiver.stages import ModelConfig, OptimConfig

FP32, HALF = 4, 2
MOMENTS = 2
"""Of AdamW, in float32."""
RESERVE = 1.5 * 2**30
"""CUDA context, kernels, cuBLAS and NCCL buffers; our assumption."""
FRAGMENTATION = 0.1
"""Of what comes and goes in a step (activations, logits), lost to the allocator's gaps; our assumption."""


@dataclass(frozen=True)
class Spread:
    """How the model lies on the GPUs.

    Attributes:
        strategy: "alone", "ddp" or "fsdp2".
        num_gpus: that take part.
    """

    strategy: str
    num_gpus: int

    @property
    def shards(self) -> int:
        """Parts that weights, gradients and optimizer are cut into."""
        return self.num_gpus if self.strategy == "fsdp2" else 1


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at the fullest moment of a step; parts add up to the total.

    Attributes:
        weights: as they are kept: float32 where trained, `model.dtype` where frozen.
        gathered: FSDP2's whole copies of what runs now, or bfloat16 copies for sampling.
        gradients: float32, those that exist at that moment.
        optimizer: AdamW's two moments and the moving average of weights.
        activations: kept for the backward pass, and what the blocks need while they run.
        logits: scores over the vocabulary and distributions.
        cache: keys and values while completions are drawn.
        reserve: see RESERVE and FRAGMENTATION; 0 on a CPU.
        moment: when that is: "update" or "rollout".
    """

    weights: float
    gathered: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    cache: float
    reserve: float
    moment: str = "update"

    @property
    def total(self) -> float:
        """All parts."""
        return self.weights + self.gathered + self.gradients + self.optimizer + self.activations + self.logits + self.cache + self.reserve


def meta_backbone(model: ModelConfig, spread: Spread, tokens_a_word: float | None) -> MetaBackbone:
    """The recipe's model on the meta device, in the types that the forward sees."""
    half = model.dtype == "bfloat16"
    return MetaBackbone.of(
        model.path,
        trained_dtype=torch.bfloat16 if half and spread.strategy == "fsdp2" else torch.float32,
        frozen_dtype=torch.bfloat16 if half else torch.float32,
        lora=Lora(rank=model.lora_rank) if model.lora_rank else None,
        freeze_vision=model.freeze_vision,
        gradient_checkpointing=model.gradient_checkpointing,
        attention=model.attention,
        tokens_a_word=tokens_a_word,
    )


def resting(backbone: MetaBackbone, model: ModelConfig, optim: OptimConfig, spread: Spread, *, reference: bool = False) -> dict[str, float]:
    """Bytes of weights, optimizer and gathered copies; a reference model is one more set of weights in `model.dtype`."""
    trained = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    every = sum(weight.numel() for weight in backbone.parameters())
    stored = HALF if model.dtype == "bfloat16" else FP32
    averages = MOMENTS + (1 if optim.ema_decay > 0 else 0)
    return {
        "weights": (trained * FP32 + (every - trained) * stored) / spread.shards + (every * stored if reference else 0),
        "optimizer": trained * FP32 * averages / spread.shards,
        "gathered": _gathered(backbone, stored) if spread.strategy == "fsdp2" else 0.0,
    }


def _gathered(backbone: MetaBackbone, stored: int) -> float:
    """FSDP2: everything outside the decoder blocks for the whole step, two blocks (the next is fetched ahead), and one block's gradients on their way out."""
    block = _count(backbone.adapter.decoder.layers[0])
    outside = _count(backbone) - block * backbone.num_blocks
    return (outside + 2 * block) * stored + block * FP32


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def step_peak(
    backbone: MetaBackbone, trees: Sequence[Tree], taps: Sequence[int], spread: Spread, *, half: bool, accumulated: bool, pairs: Sequence[tuple] = ()
) -> dict[str, float]:
    """Bytes by kind at the fullest moment of one micro-batch's forward and backward.

    Args:
        backbone: on meta.
        trees: of the micro-batch.
        taps: blocks whose hidden states enter the loss.
        spread: over GPUs.
        half: bfloat16 arithmetic.
        accumulated: an earlier micro-batch has left gradients.
        pairs: (answer on V, answer on V') as ((tree, node), (tree, node)) whose distributions enter the loss.
    """
    share = 1.0 if spread.strategy != "fsdp2" else (FP32 / HALF if half else 1.0) / spread.num_gpus
    autocast = HalfPrecision(backbone) if half and spread.strategy != "fsdp2" else None
    for tree in trees:
        tree.memory.clear()
    with ExitStack() as stack:
        live = stack.enter_context(LiveMemory(gradient_share=share))
        if autocast is not None:
            stack.enter_context(autocast)
        live.watch(backbone)
        if accumulated:
            live.hold_gradients(backbone)
        backbone.live = live
        output = backbone(trees, tuple(taps))
        loss = _loss(output, pairs)
        if autocast is not None:
            autocast.forward_done()
        loss.backward()
    backbone.zero_grad(set_to_none=True)
    backbone.live = None
    return {kind: live.at_peak.get(kind, 0.0) for kind in (ACTIVATIONS, LOGITS, GRADIENTS)}


def _loss(output: TreeOutput, pairs: Sequence[tuple]) -> torch.Tensor:
    """Something that needs every gradient the real loss needs; its own few numbers a clip are left out."""
    loss = output.logps.sum() + sum((tap.sum() for tap in output.taps.values()), output.logps.new_zeros(()))
    if pairs:
        full, degraded = (torch.cat([output.distributions[pair[side]] for pair in pairs]) for side in (0, 1))
        loss = loss + product_of_experts(full, degraded, torch.zeros(len(full), dtype=torch.long, device="meta")) + degraded.sum()
    return loss
