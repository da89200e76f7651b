"""The last block of nodes that leave: every other token still sees their keys and values there, but of themselves only the tapped tokens are read.

So all tokens make keys and values, and queries, the output projection and the MLP run for tokens that stay or are tapped: nearly a whole block of a second
view, of V' and of keywords is saved, with the same values and gradients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videoperceiver.models.attention import TreeAttention, one_type
from videoperceiver.models.layout import Layout, Stage, runs

# Shape suffixes: S tokens that stay, K tapped tokens that leave, O other tokens that leave, N = S + K + O, d width of a head.


@dataclass(frozen=True, eq=False)
class Exit:
    """Who does what in the last block of a stage.

    Attributes:
        stay: (S,) flat index of each token that stays, in the order of the next stage.
        tapped: (K,) flat index of the last token of each tapped node that leaves.
        others: (O,) flat index of all other tokens that leave.
        staying, leaving: rows of the layout's taps, in order, that stay and that leave.
        end: (N,) columns at which each token's subtree ends, in the order stay, tapped, others.
    """

    stay: np.ndarray
    tapped: np.ndarray
    others: np.ndarray
    staying: np.ndarray
    leaving: np.ndarray
    end: np.ndarray


def exit_of(layout: Layout, stage: Stage, after: Stage | None, *, tapped: bool, training: bool) -> Exit | None:
    """The exit at the end of a stage in one row; None where its tokens are needed to the end, or their attention has dropout of their own.

    Args:
        layout: of the batch.
        stage: whose last block it is.
        after: the stage that follows, None for the last.
        tapped: whether the taps are read at that block.
        training: whether dropout acts.
    """
    if layout.attention_dropout is not None and training:
        return None
    if after is None and (len(layout.target_ids) or not (tapped and len(layout.taps))):
        return None
    remain = np.zeros_like(stage.length) if after is None else after.length
    gone = np.flatnonzero((stage.length > 0) & (remain == 0))
    stays = remain[layout.taps] > 0
    slots = layout.taps[~stays] if tapped else layout.taps[:0]
    last = stage.start[slots] + stage.length[slots] - 1
    every = runs(stage.start[gone], stage.length[gone])
    stay = np.zeros(0, np.int64) if after is None or after.source is None else after.source
    others = every[~np.isin(every, last)]
    end = stage.end.reshape(-1)[np.concatenate([stay, last, others])]
    return Exit(stay, last, others, np.flatnonzero(stays), np.flatnonzero(~stays), end)


def run_exit(layer: nn.Module, hidden: Tensor, rotary: list[Tensor], leave: Exit, after: Stage | None, tree: TreeAttention | None) -> tuple[Tensor, Tensor]:
    """Run the last block of a stage.

    Args:
        layer: the model's own decoder layer.
        hidden: (1, W, D) before it.
        rotary: cos and sin (1, W, d).
        leave: who leaves.
        after: the stage that follows.
        tree: its attention.

    Returns:
        Hidden states of the next stage (rows, width, D), and (K, D) of the tapped tokens that leave.
    """

    def pick(x: Tensor, *parts: np.ndarray) -> Tensor:
        return x.flatten(0, 1).index_select(0, torch.from_numpy(np.concatenate(parts)).to(x.device))[None]

    few, many = (leave.stay, leave.tapped), (leave.others,)
    attention = Leaving(layer, leave, tree, hidden.device)
    out = layer(
        pick(hidden, *few),
        attention_mask=None,
        position_embeddings=tuple(pick(x, *few) for x in rotary),
        tree=attention,
        gone=tuple(pick(x, *many) for x in (hidden, *rotary)),
    )
    shape = (1, 0) if after is None else (after.rows, after.width)
    return out[0, : len(leave.stay)].view(*shape, out.shape[-1]), out[0, len(leave.stay) :]


class Leaving:
    """Attention of that block: tokens that stay attend as in the next stage, each tapped token to all that it sees. See `TreeAttention`."""

    def __init__(self, layer: Any, leave: Exit, tree: TreeAttention | None, device: torch.device):
        self.norm, self.attention, self.tree, self.num_stay = layer.input_layernorm, layer.self_attn, tree, len(leave.stay)
        at, tapped = np.concatenate([leave.stay, leave.tapped, leave.others]), leave.tapped[:, None]
        self.visible = torch.from_numpy((at <= tapped) & (tapped < leave.end)).to(device)  # (K, N)

    def attend_with(self, gone: tuple[Tensor, Tensor, Tensor], block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Query (1, heads, S + K, d), key and value (1, kv_heads, S + K, d), hidden states and rotary of the others -> (1, S + K, heads, d)."""
        stay, out = self.num_stay, []
        if stay and self.tree is not None:
            out.append(self.tree.attend(block, query[:, :, :stay], key[:, :, :stay], value[:, :, :stay], scaling, dropout))
        more_key, more_value = keys_values(self.attention, self.norm(gone[0]), gone[1], gone[2])
        key, value = torch.cat([key, more_key.to(key.dtype)], 2), torch.cat([value, more_value.to(value.dtype)], 2)  # (1, kv_heads, N, d)
        if len(self.visible):
            out.append(self._few(*one_type(query[:, :, stay:], key, value), scaling, dropout))
        return torch.cat(out, 1)

    def _few(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """The tapped tokens' own (1, K, heads, d). Query heads that share a key head stand below each other, so that no key is copied."""
        shared = query.shape[1] // key.shape[1]
        below = query.unflatten(1, (-1, shared)).flatten(2, 3)  # (1, kv_heads, shared * K, d)
        below, key = below.to(value.dtype), key.to(value.dtype)  # rotary leaves both in float32, which autocast undoes on devices that exist
        out = F.scaled_dot_product_attention(below, key, value, attn_mask=self.visible.repeat(shared, 1), dropout_p=dropout, scale=scaling)
        return out.unflatten(2, (shared, -1)).flatten(1, 2).transpose(1, 2)


def keys_values(attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (1, kv_heads, O, d) of normalised hidden states (1, O, D), as every supported family's attention makes them."""
    heads = (-1, attention.head_dim)
    norm: Callable[[Tensor], Tensor] = getattr(attention, "k_norm", nn.Identity())
    key = norm(attention.k_proj(hidden).unflatten(-1, heads)).transpose(1, 2)
    value = attention.v_proj(hidden).unflatten(-1, heads).transpose(1, 2)
    first, second = key.chunk(2, dim=-1)
    return key * cos.unsqueeze(1) + torch.cat([-second, first], dim=-1) * sin.unsqueeze(1), value
