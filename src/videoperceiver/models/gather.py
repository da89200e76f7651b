"""Whole weights on every rank while completions are sampled."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def gathered(backbone: nn.Module) -> Iterator[None]:
    """Keep FSDP2 weights gathered inside the block; nothing happens without FSDP2.

    Ranks sample completions of different lengths, so a decoding step must not wait for other ranks: every rank enters and leaves
    this block, and in between none needs another.
    """
    shards = [module for module in backbone.modules() if isinstance(module, FSDPModule)]
    for shard in shards:
        shard.set_reshard_after_forward(False, recurse=False)
        shard.unshard()
    try:
        yield
    finally:
        for shard in shards:
            shard.reshard()
            shard.set_reshard_after_forward(True, recurse=False)
