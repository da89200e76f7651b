"""Drawing completions: the keys and values it keeps, and how long it takes (memory bandwidth, not arithmetic, decides)."""

from collections.abc import Mapping, Sequence

from videoperceiver.models.decode import FIRST_ROOM
from videoperceiver.models.meta import MetaBackbone
from videoperceiver.stages import GrpoConfig
from videoperceiver.training.plan_gpus import Gpu
from videoperceiver.training.plan_memory import FP32, FRAGMENTATION, HALF, RESERVE, Memory, Spread
from videoperceiver.training.plan_trees import Planned, Rollout

BANDWIDTH_SHARE = 0.5
"""Of a GPU's memory bandwidth that decoding reaches; our assumption."""
LAUNCH_S = 0.3e-3
"""Eager PyTorch's time to launch one decoder block's kernels, below which no decoding step of a block comes; our assumption."""
VOCABULARY_ROWS = 4
"""Float32 copies of a step's scores that sampling holds: scores, log-probabilities, what is allowed, probabilities."""


def key_value_bytes(backbone: MetaBackbone, *, half: bool) -> int:
    """Of one token, over all blocks."""
    text = backbone.adapter.model.config.get_text_config()
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * text.num_key_value_heads * head_dim * (HALF if half else FP32)


def rollout_memory(
    backbone: MetaBackbone, config: GrpoConfig, spread: Spread, lying: Mapping[str, float], clips: Sequence[Planned], new_tokens: int, *, on_gpu: bool
) -> Memory:
    """The fullest moment of drawing all of a GPU's completions at once: prefill and decoding copy of the prefixes, and the completions' own."""
    half = config.model.dtype == "bfloat16"
    rollouts = [clip.rollouts[0] for clip in clips]
    prefix = sum(rollout.tree.num_tokens for rollout in rollouts)
    completions = sum(_count(rollout) for rollout in rollouts)
    room = FIRST_ROOM
    while room < new_tokens:
        room *= 2
    text = backbone.adapter.model.config.get_text_config()
    logits = completions * text.vocab_size * FP32 * VOCABULARY_ROWS
    every = sum(weight.numel() for weight in backbone.parameters())
    trained = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    gathered = 0.0
    if spread.strategy == "fsdp2":
        gathered = every * (HALF if half else FP32)
    elif half:
        gathered = trained * HALF
    activations = 4.0 * prefix * text.hidden_size * (HALF if half else FP32)
    return Memory(
        weights=lying["weights"],
        gathered=gathered,
        gradients=0.0,
        optimizer=lying["optimizer"],
        activations=activations,
        logits=logits,
        cache=key_value_bytes(backbone, half=half) * (2 * prefix + 1.5 * completions * room),
        reserve=RESERVE + FRAGMENTATION * (activations + logits) if on_gpu else 0.0,
        moment="rollout",
    )


def decode_seconds(backbone: MetaBackbone, config: GrpoConfig, clips: Sequence[Planned], new_tokens: int, gpu: Gpu) -> float:
    """Seconds a step of drawing completions on one GPU: each new token reads the weights once and every completion's keys and values."""
    if config.engine.kind == "server":
        return 0.0
    half = config.model.dtype == "bfloat16"
    head = backbone.adapter.model.get_output_embeddings()
    weights = sum(w.numel() for w in (*backbone.adapter.decoder.layers.parameters(), *head.parameters())) * (HALF if half else FP32)
    token, seconds = key_value_bytes(backbone, half=half), 0.0
    for calls in zip(*(clip.rollouts for clip in clips), strict=False):
        read = weights + token * sum(call.tree.num_tokens + _count(call) * new_tokens / 2 for call in calls)
        least = LAUNCH_S * backbone.num_blocks
        times = max(call.times for call in calls)
        seconds += times * new_tokens * max(read / (gpu.bandwidth_tbs * 1e12 * BANDWIDTH_SHARE), least)
    return seconds


def _count(rollout: Rollout) -> int:
    return (len(rollout.full) + len(rollout.degraded)) * rollout.copies
