"""Keys and values while a tree is generated from: each prefix once, each completion's own tokens beside it."""

from collections.abc import Callable

import torch
from torch import Tensor

from videoperceiver.models.attention import TreeAttention

# Shape suffixes: B trees, Q completions a tree, N = B * Q, P prefix tokens, T own tokens, K key/value heads, G query heads a K.

Pair = tuple[Tensor, Tensor]
"""Keys and values."""

FIRST_ROOM = 16
"""Own tokens there is room for at first; doubled when full."""


class Recorder:
    """Keeps the keys and values of a prefill, block by block."""

    def __init__(self):
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def wrap(self, tree: TreeAttention) -> TreeAttention:
        """An attention that keeps what it is given."""
        return _Recording(tree, self)


class _Recording:
    def __init__(self, tree: TreeAttention, recorder: Recorder):
        self.tree, self.recorder = tree, recorder

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Keep, then attend."""
        self.recorder.keys.append(key)
        self.recorder.values.append(value)
        return self.tree.attend(block, query, key, value, scaling, dropout)


class Decode:
    """Attention of one new token a completion over its visible prefix and its own tokens.

    Args:
        recorder: of the prefill; keys and values (R, K, W, d) a block.
        tokens: (B, P) flat index (row * W + column) of each tree's tokens.
        visible: (B, Q, P) which of them each completion sees.
        dtype: of the hidden states.

    Attributes:
        alive: (N,) completions that still step.
    """

    def __init__(self, recorder: Recorder, tokens: Tensor, visible: Tensor, dtype: torch.dtype):
        device = recorder.keys[0].device
        tokens, visible = tokens.to(device), visible.to(device)
        self.shape = visible.shape[:2]  # B, Q
        self.prefix: list[Pair] = [(_by_tree(k, tokens), _by_tree(v, tokens)) for k, v in zip(recorder.keys, recorder.values, strict=True)]
        self.mask = torch.zeros(visible.shape, device=device).masked_fill_(~visible, float("-inf"))  # (B, Q, P)
        self.alive = torch.ones(visible.shape[0] * visible.shape[1], dtype=torch.bool, device=device)
        self.own: list[Pair] = [(x.new_zeros(0), x.new_zeros(0)) for x, _ in self.prefix]
        self.length = [0] * len(self.prefix)

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Query (N, K * G, 1, d), key and value (N, K, 1, d) -> (N, 1, K * G, d)."""
        own_key, own_value = self._append(block, key, value)
        prefix_key, prefix_value = self.prefix[block]  # (B, K, P, d)
        trees, copies = self.shape
        heads, groups = key.shape[1], query.shape[1] // key.shape[1]
        query = (query * scaling).view(trees, copies, heads, groups, -1)
        wide = query.permute(0, 2, 1, 3, 4).reshape(trees, heads, copies * groups, -1)  # (B, K, Q*G, d)
        far = (wide @ prefix_key.mT).view(trees, heads, copies, groups, -1) + self.mask[:, None, :, None]
        near = (query.flatten(0, 1) @ own_key.mT).view(trees, copies, heads, groups, -1).transpose(1, 2)
        weight = torch.cat([far, near], -1).float().softmax(-1).to(value.dtype)
        far, near = weight.split([far.shape[-1], near.shape[-1]], -1)
        out = (far.flatten(2, 3) @ prefix_value).view(trees, heads, copies, groups, -1).transpose(1, 2)  # (B, Q, K, G, d)
        out = out + (near.transpose(1, 2).flatten(0, 1) @ own_value).view(out.shape)
        return out.reshape(trees * copies, 1, heads * groups, -1)

    def _append(self, block: int, key: Tensor, value: Tensor) -> Pair:
        at = self.length[block]
        if not at:
            shape = (*key.shape[:2], FIRST_ROOM, key.shape[-1])
            self.own[block] = (key.new_zeros(shape), value.new_zeros(shape))
        elif at == self.own[block][0].shape[2]:
            self.own[block] = _each(self.own[block], lambda x: torch.cat([x, torch.zeros_like(x)], 2))
        for stored, new in zip(self.own[block], (key, value), strict=True):
            stored[:, :, at] = new[:, :, 0]
        self.length[block] = at + 1
        return _each(self.own[block], lambda x: x[:, :, : at + 1])

    def compact(self) -> Tensor | None:
        """Forget finished completions once they are half of the work; returns the rows kept (some only pad a tree), or None."""
        alive = self.alive.view(self.shape)
        trees = alive.any(1).nonzero().flatten()
        width = int(alive.sum(1).max())
        if 2 * len(trees) * width > alive.numel():
            return None
        order = (~alive).to(torch.int8).argsort(dim=1, stable=True)[trees, :width]  # living first
        kept = (trees[:, None] * self.shape[1] + order).flatten()
        self.mask = self.mask[trees].gather(1, order[..., None].expand(-1, -1, self.mask.shape[-1]))
        self.prefix = [_each(pair, lambda x: x[trees]) for pair in self.prefix]
        if any(self.length):  # nothing of its own is kept yet where completions end with their first token
            self.own = [_each(pair, lambda x: x[kept]) for pair in self.own]
        self.alive, self.shape = self.alive[kept], (len(trees), width)
        return kept


def _each(pair: Pair, change: Callable[[Tensor], Tensor]) -> Pair:
    return change(pair[0]), change(pair[1])


def _by_tree(x: Tensor, tokens: Tensor) -> Tensor:
    """(R, K, W, d) -> (B, K, P, d)."""
    flat = x.transpose(1, 2).flatten(0, 1)  # (R * W, K, d)
    return flat[tokens].transpose(1, 2).contiguous()
