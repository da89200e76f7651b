"""Micro-batches: a step's clips in portions that fit the memory, with the gradient of the whole step."""

from collections.abc import Sequence

import numpy as np

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.tree import Tree
from videoperceiver.training.world import World
from videoperceiver.types import Clip


def micro_batches(sizes: Sequence[int], micro_tokens: int) -> list[list[int]]:
    """Packs trees into micro-batches of at most so many tokens, those of like length together, longest first: what does not fit fails at once.

    Args:
        sizes: tokens of each tree.
        micro_tokens: of a micro-batch; a tree larger than that has one of its own; 0 = everything in one, in the order given.

    Returns:
        Indices of each micro-batch's trees; none for no trees.
    """
    if micro_tokens == 0 or not sizes:
        return [list(range(len(sizes)))] if sizes else []
    packed: list[list[int]] = []
    room = 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if not packed or sizes[i] > room:
            packed.append([])
            room = micro_tokens
        packed[-1].append(i)
        room -= sizes[i]
    return packed


def in_step(batches: list[list[int]], world: World) -> list[list[int]]:
    """The same with empty ones at the end, so that all ranks have as many: each forward and backward is a collective of theirs."""
    most = max(world.gather(len(batches)))
    return batches + [[] for _ in range(most - len(batches))]


def filler(backbone: Backbone) -> Tree:
    """A grey clip with an empty answer: what a rank without clips of its own sends through the model while the others train, at weight 0."""
    grey = Clip(np.full((backbone.adapter.frames_per_patch, 56, 56, 3), 128, np.uint8), np.arange(backbone.adapter.frames_per_patch) / 1.0, "filler")
    builder = TreeBuilder(backbone, grey)
    builder.answer(builder.question(builder.video(), ""), "")
    return builder.tree()
