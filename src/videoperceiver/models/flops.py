"""Floating-point operations of a tree, from sizes alone: what sharing saves, at any model size.

A multiply-add counts as 2. Linear layers cost 2 x weights a token; attention costs 4 x width for each pair (query, visible key); norms,
rotary embeddings and activations are left out (well under 1 %). Families: Qwen2.5-VL and Qwen3-VL.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig


@dataclass(frozen=True)
class Flops:
    """Forward operations by part.

    Attributes:
        vision: tower and projector.
        language: decoder blocks.
        head: output projection at the scored positions.
    """

    vision: float
    language: float
    head: float

    @property
    def forward(self) -> float:
        """All parts."""
        return self.vision + self.language + self.head

    def step(self, *, train_vision: bool = False, checkpointing: bool = False, low_rank: bool = False) -> float:
        """Forward and backward: the backward is twice the forward of what is trained, checkpointing runs the blocks' forward again.

        With LoRA (`low_rank`) the frozen weights have no gradient of their own, so the backward is about one forward.
        """
        trained = self.language + self.head + (self.vision if train_vision else 0)
        again = (self.language + (self.vision if train_vision else 0)) if checkpointing else 0
        return self.forward + (1 if low_rank else 2) * trained + again

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.vision + other.vision, self.language + other.language, self.head + other.head)

    def __mul__(self, times: float) -> "Flops":
        return Flops(self.vision * times, self.language * times, self.head * times)


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


def language(config: PretrainedConfig, tokens: float, visible: float, scored: float) -> Flops:
    """Decoder blocks over so many tokens and visible pairs, and logits at the scored positions."""
    text = config.get_text_config()
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    wide, narrow = text.num_attention_heads * head_dim, text.num_key_value_heads * head_dim
    weights = text.hidden_size * (2 * wide + 2 * narrow) + 3 * text.hidden_size * text.intermediate_size
    blocks = text.num_hidden_layers * (2 * weights * tokens + 4 * wide * visible)
    return Flops(0, blocks, 2 * text.hidden_size * text.vocab_size * scored)


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
    linear = 2 * (size * (embed + depth * block) + size // merge * mergers * merger)
    full = len(tower.fullatt_block_indexes) if gated else depth
    visible = full * size * size + (depth - full) * (_windowed(rows, columns, tower.window_size // tower.patch_size) if gated else 0)
    return Flops(patches * (linear + 4 * width * visible), 0, 0)


def _windowed(rows: int, columns: int, side: int) -> int:
    """Pairs within windows of side x side patches, cut at the edges."""
    return sum(min(side, rows - r) ** 2 * min(side, columns - c) ** 2 for r in range(0, rows, side) for c in range(0, columns, side))


def tree(
    config: PretrainedConfig, runs: Sequence[Run], *, grid: tuple[int, int], patches: int, scored: int, depths: Sequence[int | None] | None = None
) -> Flops:
    """One forward over a tree.

    Args:
        config: of the model.
        runs: its nodes.
        grid: rows and columns of spatial patches before merging.
        patches: distinct temporal patches.
        scored: targets.
        depths: blocks each node runs through (early exit), None = all.
    """
    return vision(config, *grid, patches) + language_by_node(config, runs, depths, scored)


def language_by_node(config: PretrainedConfig, runs: Sequence[Run], depths: Sequence[int | None] | None, scored: int) -> Flops:
    """The decoder's part of a tree whose nodes may leave early: depths as in `tree`."""
    blocks = config.get_text_config().num_hidden_layers
    share = [1.0 if depth is None else min(depth, blocks) / blocks for depth in (depths or [None] * len(runs))]
    tokens = sum(length * part for (length, _), part in zip(runs, share, strict=True))
    visible = sum(count * part for count, part in zip(_pairs_by_node(runs), share, strict=True))
    return language(config, tokens, visible, scored)


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
