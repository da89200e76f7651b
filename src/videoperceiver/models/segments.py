"""Exact tree attention without a mask (CPU): flash kernels over nodes, merged by log-sum-exp.

A node's tokens see themselves (causally) and every ancestor (fully). Depth first, the descendants of a node are one contiguous stretch, so
"everybody below this node sees it" is one unmasked kernel call on slices. Partial results merge by their log-sum-exp; the backward of a
flash kernel only needs the merged output and log-sum-exp, so gradients are the same calls in reverse (as in ring attention,
arXiv 2310.01889; for one prefix and its suffixes, Prefix Grouper, arXiv 2506.05433).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videoperceiver.models.layout import Stage


@dataclass(frozen=True)
class Segment:
    """Tokens first <= i < stop of one node in one row; its descendants' tokens are stop <= i < below."""

    row: int
    first: int
    stop: int
    below: int


def segments(stage: Stage) -> list[Segment]:
    """The stage's nodes that still have tokens."""
    kept = np.flatnonzero(stage.length)
    starts, lengths = stage.start[kept], stage.length[kept]
    below = stage.end.reshape(-1)[starts]
    rows, firsts = np.divmod(starts, stage.width)
    return [Segment(*item) for item in zip(rows.tolist(), firsts.tolist(), (firsts + lengths).tolist(), below.tolist(), strict=True)]


def segment_attention(query: Tensor, key: Tensor, value: Tensor, parts: list[Segment], scaling: float) -> Tensor:
    """Tree attention: query, key, value (R, heads, W, d) -> (R, heads, W, d). Tokens outside all parts (padding) get zeros."""
    return _SegmentAttention.apply(query, key, value, parts, scaling)


class _SegmentAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, parts: list[Segment], scaling: float) -> Tensor:
        out = torch.zeros_like(query)
        lse = torch.zeros(query.shape[:-1], dtype=torch.float32, device=query.device)
        for part in parts:
            own, row = slice(part.first, part.stop), slice(part.row, part.row + 1)
            out[row, :, own], lse[row, :, own] = _flash(query[row, :, own], key[row, :, own], value[row, :, own], True, scaling)
        for part in parts:
            if part.below > part.stop:
                own, row, under = slice(part.first, part.stop), slice(part.row, part.row + 1), slice(part.stop, part.below)
                more, more_lse = _flash(query[row, :, under], key[row, :, own], value[row, :, own], False, scaling)
                _merge(out[row, :, under], lse[row, :, under], more, more_lse)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.parts, ctx.scaling = parts, scaling
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        d_query, d_key, d_value = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for part in ctx.parts:
            own, row = slice(part.first, part.stop), slice(part.row, part.row + 1)
            calls = [(own, True)]
            if part.below > part.stop:
                calls.append((slice(part.stop, part.below), False))
            for who, causal in calls:
                grads = _flash_backward(
                    grad[row, :, who], query[row, :, who], key[row, :, own], value[row, :, own], out[row, :, who], lse[row, :, who], causal, ctx.scaling
                )
                d_query[row, :, who] += grads[0]
                d_key[row, :, own] += grads[1]
                d_value[row, :, own] += grads[2]
        return d_query, d_key, d_value, None, None


def _merge(out: Tensor, lse: Tensor, more: Tensor, more_lse: Tensor) -> None:
    """Fold a second partial attention into the first, in place."""
    total = torch.logaddexp(lse, more_lse)
    out.mul_((lse - total).exp().unsqueeze(-1).to(out.dtype)).add_(more * (more_lse - total).exp().unsqueeze(-1).to(out.dtype))
    lse.copy_(total)


def _flash(query: Tensor, key: Tensor, value: Tensor, causal: bool, scaling: float) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scaling)


def _flash_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, causal: bool, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(grad, query, key, value, out, lse, 0.0, causal, scale=scaling)
