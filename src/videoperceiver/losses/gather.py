"""Rows of every rank, with gradient: in-batch negatives over the whole global batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Ranks that train together; 1 in a single process."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks, in order of rank; in a single process the rows themselves.

    The backward pass sums over ranks what each of them needs of a row. With the same loss of the gathered rows on every rank, and gradients
    averaged over ranks as DDP and FSDP2 do, the weights get the gradient that one process with the whole batch would compute.

    Args:
        rows: (B, ..) of this rank; B may differ from rank to rank, and be 0.

    Returns:
        (sum of B, ..). Every rank must call, with the same trailing shape and dtype.
    """
    return rows if world_size() == 1 else _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        own = torch.tensor([len(rows)], device=rows.device)
        counts = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(counts, own)
        sizes = [int(count.item()) for count in counts]
        longest = max(sizes)
        padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])]).contiguous()
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        first = sum(sizes[: dist.get_rank()])
        ctx.own = slice(first, first + len(rows))
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.own]
