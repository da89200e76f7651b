"""Where each token of a batch of trees sits: rows, positions, and who sees whom.

Nodes are laid out depth first, so a subtree is contiguous and one number a token says who sees it: token j is visible to token i of the
same row exactly if `j <= i < end[j]`, with end[j] the end of the subtree of j's node. Dense masks, segment attention and flex attention
all read that one array. Nodes that leave after block l make a second, shorter layout for the blocks after l.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from videoperceiver.models.tree import ALL_BLOCKS, IGNORE, Node, Tree

if TYPE_CHECKING:
    from torch import Tensor

# Shape suffixes: R rows, W row width, S slots (nodes of all trees, depth first), N targets.


@dataclass(frozen=True, eq=False)
class Stage:
    """One packing of the surviving nodes, valid for the blocks first <= block < stop.

    Attributes:
        first, stop: range of decoder blocks.
        rows, width: shape of the packing.
        start: (S,) flat index (row * width + column) of each slot's first token, valid where length > 0.
        length: (S,) tokens of each slot, 0 once it has left.
        end: (R, W) end column of the subtree each token belongs to; a padding token ends right after itself.
        source: (R * W,) flat index of each token in the stage before; None for the first stage.
    """

    first: int
    stop: int
    rows: int
    width: int
    start: np.ndarray
    length: np.ndarray
    end: np.ndarray
    source: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Layout:
    """A batch of trees, laid out.

    Attributes:
        stages: one for each early exit, in order.
        input_ids: (R, W) of the first stage, padding 0.
        positions: (3, R, W) of the first stage.
        pads: (M,) flat index of each video token in the first stage.
        features: (M,) row of the concatenated video features that fills it.
        pad_dropout: (M,) dropout probability, None if none.
        attention_dropout: (S,) dropout probability of each slot, None if none.
        encoded: flat index of the first token in the first stage and hidden states of each text that an encoder read.
        slots: (S, 2) tree and node of each slot.
        slot_of: for each tree, (n,) slot of each node.
        target_ids: (N,) token ids, in order of tree, node, position.
        target_from: (N,) flat index in the last stage of the token that predicts each target.
        target_node: (N, 2) tree and node of each target.
        taps: (K,) tapped slots in order of tree and node.
    """

    stages: list[Stage]
    input_ids: np.ndarray
    positions: np.ndarray
    pads: np.ndarray
    features: np.ndarray
    pad_dropout: np.ndarray | None
    attention_dropout: np.ndarray | None
    encoded: list[tuple[int, "Tensor"]]
    slots: np.ndarray
    slot_of: list[np.ndarray]
    target_ids: np.ndarray
    target_from: np.ndarray
    target_node: np.ndarray
    taps: np.ndarray


def lay_out(
    trees: Sequence[Tree], *, num_blocks: int, media_token_ids: Sequence[int], patch_start: Sequence[np.ndarray], patch_tokens: Sequence[int], one_row: bool
) -> Layout:
    """Lay a batch of trees out.

    Args:
        trees: the batch.
        num_blocks: decoder blocks of the model.
        media_token_ids: the tokens whose embedding is replaced by a feature of a video or picture.
        patch_start: for each tree, (patches,) first row of each patch in the concatenated features.
        patch_tokens: for each tree, tokens a patch.
        one_row: everything in one row without padding (segment and flex attention) instead of equal rows (dense masks).
    """
    slots = np.concatenate([np.stack([np.full(len(tree.order), b), tree.order], 1) for b, tree in enumerate(trees)])
    bases = np.cumsum([0, *(len(tree.order) for tree in trees)])
    last = np.concatenate([tree.last + base for tree, base in zip(trees, bases, strict=False)])
    nodes = [trees[b].nodes[i] for b, i in slots.tolist()]
    lengths = np.fromiter((len(node) for node in nodes), np.int64, len(nodes))
    depths = np.minimum(np.concatenate([tree.depth[tree.order] for tree in trees]), num_blocks)
    unit = np.cumsum(np.fromiter((node.parent < 0 for node in nodes), np.int64, len(nodes))) - 1
    stages: list[Stage] = []
    for stop in np.unique(depths).tolist():
        first = stages[-1].stop if stages else 0
        stages.append(_stage(first, stop, np.where(depths > first, lengths, 0), last, unit, one_row, stages[-1] if stages else None))
    head = stages[0]
    flat = _token_index(head)  # tokens in slot order -> flat index
    input_ids = np.zeros(head.rows * head.width, dtype=np.int64)
    input_ids[flat] = ids = np.concatenate([node.input_ids for node in nodes])
    positions = np.zeros((3, head.rows * head.width), dtype=np.int64)
    positions[:, flat] = np.concatenate([node.positions for node in nodes], axis=1)
    features, dropout = _features(nodes, slots, patch_start, patch_tokens)
    slot_of = [np.argsort(tree.order) + base for tree, base in zip(trees, bases, strict=False)]
    return Layout(
        stages,
        input_ids.reshape(head.rows, head.width),
        positions.reshape(3, head.rows, head.width),
        flat[np.isin(ids, media_token_ids)] if len(features) else np.zeros(0, np.int64),
        features,
        dropout,
        _attention_dropout(nodes),
        [(int(first), node.encoded) for first, node in zip(head.start, nodes, strict=True) if node.encoded is not None],
        slots,
        slot_of,
        *_targets(trees, slot_of, stages[-1], num_blocks),
        taps=np.asarray([slot_of[b][i] for b, tree in enumerate(trees) for i, node in enumerate(tree.nodes) if node.tap], dtype=np.int64),
    )


def _stage(first: int, stop: int, length: np.ndarray, last: np.ndarray, unit: np.ndarray, one_row: bool, before: Stage | None) -> Stage:
    """Pack the slots with length > 0. A unit (a root and its descendants) always stays in one row."""
    ends = np.cumsum(length)  # (S,) in one endless row
    starts = ends - length
    unit_first = np.flatnonzero(np.diff(unit, prepend=-1))
    unit_length = np.add.reduceat(length, unit_first)
    row, column, rows, width = _pack(unit_length, one_row)
    shift = column - starts[unit_first]  # column of a slot = its endless start + its unit's shift
    start = starts + shift[unit]
    end_column = ends[last] + shift[unit]
    end = np.tile(np.arange(1, width + 1), (rows, 1))
    stage = Stage(first, stop, rows, width, row[unit] * width + start, length, end, None)
    flat = _token_index(stage)
    end.reshape(-1)[flat] = np.repeat(end_column, length)
    if before is None:
        return stage
    source = np.zeros(rows * width, dtype=np.int64)
    source[flat] = runs(before.start, length)
    return Stage(first, stop, rows, width, stage.start, length, end, source)


def _pack(unit_length: np.ndarray, one_row: bool) -> tuple[np.ndarray, np.ndarray, int, int]:
    """First-fit decreasing into rows as wide as the longest unit; returns row and column of each unit, rows, width."""
    if one_row:
        return np.zeros(len(unit_length), np.int64), np.cumsum(unit_length) - unit_length, 1, int(unit_length.sum())
    width = int(unit_length.max())
    used: list[int] = []
    row, column = np.zeros(len(unit_length), np.int64), np.zeros(len(unit_length), np.int64)
    for i in np.argsort(-unit_length, kind="stable").tolist():
        size = int(unit_length[i])
        r = next((r for r, filled in enumerate(used) if filled + size <= width), len(used))
        if r == len(used):
            used.append(0)
        row[i], column[i] = r, used[r]
        used[r] += size
    return row, column, len(used), width


def runs(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Concatenated ranges: start[0], start[0] + 1, .. of length[0] items, and so on."""
    ends = np.cumsum(length)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(start - (ends - length), length)


def _token_index(stage: Stage) -> np.ndarray:
    """Flat index of every token of the stage, in slot order."""
    return runs(stage.start, stage.length)


def _features(nodes: Sequence[Node], slots: np.ndarray, patch_start: Sequence[np.ndarray], patch_tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
    rows, dropout = [], []
    for (b, _), node in zip(slots.tolist(), nodes, strict=True):
        if node.patches is not None and len(node.patches):
            first = patch_start[b][node.patches]
            rows.append((first[:, None] + np.arange(patch_tokens[b])).reshape(-1))
            dropout.append(np.full(len(rows[-1]), node.dropout, dtype=np.float32))
    if not rows:
        return np.zeros(0, np.int64), None
    probability = np.concatenate(dropout)
    return np.concatenate(rows), probability if probability.any() else None


def _attention_dropout(nodes: Sequence[Node]) -> np.ndarray | None:
    probability = np.fromiter((node.attention_dropout for node in nodes), np.float64, len(nodes))
    return probability if probability.any() else None


def _targets(trees: Sequence[Tree], slot_of: list[np.ndarray], final: Stage, num_blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, origin, owner = [], [], []
    for b, tree in enumerate(trees):
        start = final.start[slot_of[b]]
        length = final.length[slot_of[b]]
        for i, node in enumerate(tree.nodes):
            if node.labels is None:
                continue
            at = np.flatnonzero(node.labels != IGNORE)
            if not len(at):
                continue
            if tree.depth[i] < num_blocks:
                raise ValueError(f"tree {b}, node {i} has labels but leaves after block {tree.depth[i]}; a trained node must run through all blocks")
            if at[0] == 0 and node.parent < 0:
                raise ValueError(f"tree {b}, node {i} is a root with a label at position 0; nothing predicts it")
            before = start[i] + at - 1
            if at[0] == 0:
                before[0] = start[node.parent] + length[node.parent] - 1
            ids.append(node.labels[at])
            origin.append(before)
            owner.append(np.tile((b, i), (len(at), 1)))
    if not ids:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    return np.concatenate(ids), np.concatenate(origin), np.concatenate(owner)


def check_depths(trees: Sequence[Tree], num_blocks: int, least: int, tap_blocks: Sequence[int] = ()) -> None:
    """Refuse early exits and taps the model cannot make.

    Raises:
        ValueError: a depth below `least` (DeepStack adds features up to there) or above the number of blocks; a tap outside the
            blocks, or after its node has left; dropout of attention, or no gradient, for a node that is no root or has children.
    """
    if tap_blocks and not 1 <= min(tap_blocks) <= max(tap_blocks) <= num_blocks:
        raise ValueError(f"got tap blocks {list(tap_blocks)}, expected some of 1..{num_blocks}")
    deepest = max(tap_blocks, default=0)
    for b, tree in enumerate(trees):
        shallow = tree.depth[tree.depth < ALL_BLOCKS]
        if len(shallow) and (shallow.min() < least or shallow.max() > num_blocks):
            raise ValueError(f"early exit after block {shallow.min()}..{shallow.max()}; this model has {num_blocks} blocks and needs at least {least}")
        for i, node in enumerate(tree.nodes):
            if (node.attention_dropout or not node.gradient) and (node.parent >= 0 or any(other.parent == i for other in tree.nodes)):
                raise ValueError(f"tree {b}, node {i} has dropout of attention or no gradient; only a root without children can be run so")
            if node.tap and tree.depth[i] < deepest:
                raise ValueError(f"tree {b}, node {i} is tapped after block {deepest} but leaves after block {tree.depth[i]}")
