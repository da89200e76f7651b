"""Floating-point operations of a tree, from sizes alone: what sharing saves, at any model size.

A multiply-add counts as 2. Linear layers cost 2 x weights a token; attention costs 4 x width for each pair (query, visible key); norms,
rotary embeddings and activations are left out (well under 1 %). Families: Qwen2.5-VL and Qwen3-VL.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Literal

from transformers import PretrainedConfig


@dataclass(frozen=True)
class Flops:
    """Forward operations by part.

    Attributes:
        vision: tower and projector.
        language: decoder blocks.
        head: output projection at the scored positions.
        vision_once, language_once: of these, what checkpointing does not run again: all outside the blocks, and each block's last projection (its result is
            saved by nobody, and there PyTorch stops).
    """

    vision: float
    language: float
    head: float
    vision_once: float = 0.0
    language_once: float = 0.0

    @property
    def forward(self) -> float:
        """All parts."""
        return self.vision + self.language + self.head

    def step(self, *, train_vision: bool = False, checkpointing: bool = False, low_rank: bool = False) -> float:
        """Forward and backward: the backward is twice the forward of what is trained, checkpointing runs the blocks' forward again.

        With LoRA (`low_rank`) the frozen weights have no gradient of their own, so the backward is about one forward.
        """
        trained = self.language + self.head + (self.vision if train_vision else 0)
        again = self.language - self.language_once + (self.vision - self.vision_once if train_vision else 0)
        return self.forward + (1 if low_rank else 2) * trained + (again if checkpointing else 0)

    def only(self, part: Literal["vision", "language"]) -> "Flops":
        """The tower's, or the decoder's with the head."""
        return replace(self, language=0.0, head=0.0, language_once=0.0) if part == "vision" else replace(self, vision=0.0, vision_once=0.0)

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Flops") -> "Flops":
        return self + other * -1

    def __mul__(self, times: float) -> "Flops":
        return Flops(*(part * times for part in astuple(self)))


Run = tuple[int, int]
"""Tokens of a node, and its parent's index (-1 = a root), parents first: the shape of a Tree."""


def pairs(runs: Sequence[Run]) -> int:
    """Visible (query, key) pairs of a tree: each node sees itself causally and its ancestors fully."""
    return sum(_pairs_by_node(runs))


def _pairs_by_node(runs: Sequence[Run]) -> list[int]:
    above: list[int] = []
    for _, parent in runs:
        above.append(0 if parent < 0 else above[parent] + runs[parent][0])
    return [length * (length + 1) // 2 + length * before for (length, _), before in zip(runs, above, strict=True)]


def language(config: PretrainedConfig, tokens: float, visible: float, scored: float, whole_tokens: float | None = None) -> Flops:
    """Decoder blocks over so many tokens and visible pairs, and logits at the scored positions; `whole_tokens` run through whole blocks, None = all."""
    text = config.get_text_config()
    wide, _ = _widths(text)
    blocks = text.num_hidden_layers * (2 * _block_weights(text) * tokens + 4 * wide * visible)
    last = text.num_hidden_layers * 2 * text.hidden_size * text.intermediate_size * (tokens if whole_tokens is None else whole_tokens)
    return Flops(0, blocks, 2 * text.hidden_size * text.vocab_size * scored, 0, last)


def _widths(text: PretrainedConfig) -> tuple[int, int]:
    """Of queries, and of keys, over all heads."""
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_attention_heads * head_dim, text.num_key_value_heads * head_dim


def _block_weights(text: PretrainedConfig) -> int:
    wide, narrow = _widths(text)
    return text.hidden_size * (2 * wide + 2 * narrow) + 3 * text.hidden_size * text.intermediate_size


def vision(config: PretrainedConfig, rows: int, columns: int, patches: int) -> Flops:
    """The tower over so many temporal patches of rows x columns spatial patches."""
    tower = config.vision_config
    size, merge = rows * columns, tower.spatial_merge_size**2
    width, depth, inner = tower.hidden_size, tower.depth, tower.intermediate_size
    gated = config.model_type == "qwen2_5_vl"
    embed = 3 * tower.temporal_patch_size * tower.patch_size**2 * width
    block = 4 * width * width + (3 if gated else 2) * width * inner
    merger = (merge * width) ** 2 + merge * width * tower.out_hidden_size
    mergers = 1 + len(getattr(tower, "deepstack_visual_indexes", ()))
    outside = 2 * (size * embed + size // merge * mergers * merger)
    linear, last = outside + 2 * size * depth * block, 2 * size * depth * width * inner
    full = len(tower.fullatt_block_indexes) if gated else depth
    visible = full * size * size + (depth - full) * (_windowed(rows, columns, tower.window_size // tower.patch_size) if gated else 0)
    return Flops(patches * (linear + 4 * width * visible), 0, 0, patches * (outside + last))


def _windowed(rows: int, columns: int, side: int) -> int:
    """Pairs within windows of side x side patches, cut at the edges."""
    return sum(min(side, rows - r) ** 2 * min(side, columns - c) ** 2 for r in range(0, rows, side) for c in range(0, columns, side))


def tree(
    config: PretrainedConfig,
    runs: Sequence[Run],
    *,
    grid: tuple[int, int],
    patches: int,
    scored: int,
    depths: Sequence[int | None] | None = None,
    short_exits: bool = True,
) -> Flops:
    """One forward over a tree.

    Args:
        config: of the model.
        runs: its nodes.
        grid: rows and columns of spatial patches before merging.
        patches: distinct temporal patches.
        scored: targets.
        depths: blocks each node runs through (early exit), None = all.
        short_exits: as in `language_by_node`.
    """
    return vision(config, *grid, patches) + language_by_node(config, runs, depths, scored, short_exits=short_exits)


def language_by_node(config: PretrainedConfig, runs: Sequence[Run], depths: Sequence[int | None] | None, scored: int, *, short_exits: bool = True) -> Flops:
    """The decoder's part of a tree whose nodes may leave early: depths as in `tree`.

    Args:
        config: of the model.
        runs: its nodes.
        depths: as in `tree`.
        scored: targets.
        short_exits: of a node's last block, all tokens make keys and values and only the last, which is tapped, the rest (`models/leaving.py`).
    """
    text = config.get_text_config()
    blocks, keys = text.num_hidden_layers, 2 * text.hidden_size * _widths(text)[1] / _block_weights(text)
    tokens = visible = whole_tokens = 0.0
    for (length, _), seen, depth in zip(runs, _pairs_by_node(runs), depths or [None] * len(runs), strict=True):
        whole, last_tokens, last_seen = 1.0 if depth is None else min(depth, blocks) / blocks, 0.0, 0.0
        if short_exits and whole < 1:
            whole -= 1 / blocks
            last_tokens, last_seen = 1 + (length - 1) * keys, seen / length + (length - 1) / 2  # all above, and the whole node
        tokens += whole * length + last_tokens / blocks
        visible += whole * seen + last_seen / blocks
        whole_tokens += whole * length + (last_tokens > 0) / blocks
    return language(config, tokens, visible, scored, whole_tokens)


def rollout(
    config: PretrainedConfig, runs: Sequence[Run], leaves: Sequence[int], *, copies: int, new_tokens: int, grid: tuple[int, int], patches: int
) -> Flops:
    """One prefill of a tree and `copies` completions of each leaf with a cache."""
    total = tree(config, runs, grid=grid, patches=patches, scored=len(leaves))
    for leaf in leaves:
        prefix, node = 0, leaf
        while node >= 0:
            prefix, node = prefix + runs[node][0], runs[node][1]
        visible = sum(prefix + step for step in range(1, new_tokens))
        total += language(config, new_tokens - 1, visible, new_tokens - 1) * copies
    return total
