"""Attention over a packed tree, behind transformers' own attention interface.

Decoder layers are called as they are, with one more keyword, `tree`, that transformers hands through to the attention function. Without
it (plain transformers calls on the same model) the function is transformers' SDPA.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from videoperceiver.errors import ModelError
from videoperceiver.models.layout import Stage
from videoperceiver.models.segments import segment_attention, segments

TREE = "videoperceiver_tree"
AttentionKind = Literal["auto", "dense", "segments", "flex"]
DENSE_UP_TO = 512
"""Longest tree packed densely when the kind is "auto": below it one masked call is faster than a call a node (CPU, measured in docs/tree.md)."""


class TreeAttention(Protocol):
    """Who sees whom in one packing."""

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Query (R, heads, W, d), key and value (R, kv_heads, W, d) -> (R, W, heads, d)."""
        ...


def tree_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    tree: Any = None,
    gone: tuple[Tensor, Tensor, Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function registered with transformers under TREE. `tree` is a `TreeAttention`, or with tokens that are `gone` a `leaving.Leaving`."""
    if tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    if gone is not None:
        return tree.attend_with(gone, module.layer_idx, query, key, value, scaling, dropout), None
    return tree.attend(module.layer_idx, query, key, value, scaling, dropout), None


AttentionInterface.register(TREE, tree_attention)
AttentionMaskInterface.register(TREE, sdpa_mask)


def share_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat key and value heads for the query heads of their group."""
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return key, value
    shared = [x.unsqueeze(2).expand(-1, -1, groups, -1, -1).flatten(1, 2) for x in (key, value)]
    return shared[0], shared[1]


def one_type(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three in the value's type: under autocast rotary positions leave queries and keys in float32, and only PyTorch's own attention sees to that."""
    return query.to(value.dtype), key.to(value.dtype), value


class Dense:
    """One masked SDPA call over equal rows."""

    def __init__(self, stage: Stage, device: torch.device, dtype: torch.dtype):
        end = torch.from_numpy(stage.end).to(device)
        at = torch.arange(stage.width, device=device)
        visible = (at[:, None] >= at) & (at[:, None] < end[:, None, :])  # (R, W, W)
        self.mask = torch.zeros(visible.shape, device=device, dtype=dtype).masked_fill_(~visible, float("-inf")).unsqueeze(1)

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """See `TreeAttention`."""
        key, value = share_heads(query, key, value)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask, dropout_p=dropout, scale=scaling).transpose(1, 2)


class Segments:
    """Each node attends to itself causally and each subtree to its root fully, merged by log-sum-exp: no mask, no padding, no copy."""

    def __init__(self, stage: Stage):
        self.segments = segments(stage)

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """See `TreeAttention`."""
        if dropout:
            raise ValueError(f"got attention dropout {dropout}; segment attention has none, use attention=dense")
        query, key, value = one_type(query, key, value)
        key, value = share_heads(query, key, value)
        return segment_attention(query, key, value, self.segments, scaling).transpose(1, 2)


class Dropped:
    """Another attention, with dropout for some nodes that see only themselves: theirs is computed apart, in one call for each length.

    Args:
        tree: for everybody else.
        spans: (flat index of the first token, tokens, probability) of each such node.
        device: of the hidden states.
    """

    def __init__(self, tree: TreeAttention, spans: Sequence[tuple[int, int, float]], device: torch.device):
        self.tree, self.groups = tree, []
        for length, probability in dict.fromkeys((length, probability) for _, length, probability in spans):
            firsts = torch.tensor([first for first, *kind in spans if kind == [length, probability]], device=device)
            self.groups.append((firsts[:, None] + torch.arange(length, device=device), probability))  # (n, length)

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """See `TreeAttention`."""
        out = self.tree.attend(block, query, key, value, scaling, dropout)  # (R, W, heads, d)
        shape, out = out.shape, out.flatten(0, 1)
        key, value = share_heads(query, key, value)
        flat = [x.transpose(1, 2).flatten(0, 1) for x in (query, key, value)]  # (R * W, heads, d)
        for at, probability in self.groups:
            own = [x[at].transpose(1, 2) for x in flat]  # (n, heads, length, d)
            alone = F.scaled_dot_product_attention(*own, dropout_p=probability, is_causal=True, scale=scaling)
            out = out.index_copy(0, at.flatten(), alone.transpose(1, 2).flatten(0, 1).to(out.dtype))
        return out.view(shape)


class Flex:
    """flex_attention with a block mask: on GPU no (L, L) mask exists at any length."""

    def __init__(self, stage: Stage, device: torch.device):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        end = torch.from_numpy(stage.end).to(device)

        def visible(row: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return (j <= i) & (i < end[row, j])

        self.mask = create_block_mask(visible, stage.rows, None, stage.width, stage.width, device=device)
        self.call = torch.compile(flex_attention) if device.type == "cuda" else flex_attention

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """See `TreeAttention`."""
        if dropout:
            raise ValueError(f"got attention dropout {dropout}; flex attention has none, use attention=dense")
        query, key, value = one_type(query, key, value)
        return self.call(query, key, value, block_mask=self.mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]).transpose(1, 2)


def choose(kind: AttentionKind, longest: int, device: torch.device) -> AttentionKind:
    """The kind a batch runs with, given its longest tree.

    Raises:
        ModelError: the kind asked for has no kernels on this device.
    """
    if kind == "segments" and device.type != "cpu":
        raise ModelError(f"attention=segments uses CPU kernels, the model is on {device}; use attention=flex or auto")
    if kind == "flex" and device.type == "cpu" and torch.is_grad_enabled():
        raise ModelError("attention=flex has no backward on CPU; use attention=segments, or torch.no_grad() to evaluate")
    if kind != "auto":
        return kind
    if longest <= DENSE_UP_TO:
        return "dense"
    return "flex" if device.type == "cuda" else "segments"


def build(kind: AttentionKind, stage: Stage, device: torch.device, dtype: torch.dtype) -> TreeAttention:
    """The attention of one stage."""
    if kind == "segments":
        return Segments(stage)
    return Flex(stage, device) if kind == "flex" else Dense(stage, device, dtype)
