"""One forward over a batch of trees: encode, embed, run the blocks with early exits and taps, score the targets."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from videoperceiver.errors import ModelError
from videoperceiver.models import attention
from videoperceiver.models.adapters import Adapter, Features
from videoperceiver.models.layout import Layout, Stage
from videoperceiver.models.leaving import Exit, exit_of, run_exit
from videoperceiver.models.tree import Tree

# Shape suffixes: R rows, W row width, D model width, N targets, K taps, V vocabulary.

LOGITS_A_CHUNK = 1 << 24
"""Logits held at once; more targets are scored in chunks whose logits are computed again in the backward pass."""


Recording = Callable[[attention.TreeAttention], attention.TreeAttention]


class TreeOutput(NamedTuple):
    """What a forward returns (a plain tuple, so that DDP and FSDP2 find its tensors).

    Attributes:
        logps: (N,) log-probability of each target, in order of tree, node, position.
        entropy: (N,) of the distribution at each target, without gradient.
        node: (N, 2) tree and node of each target.
        taps: for each tap block, (K, D) hidden states after that block at the tapped nodes' last tokens.
        tap_index: (K, 2) tree and node of each tap.
        distributions: for each node that asked, (n, V) log-softmax rows at its targets.
    """

    logps: Tensor
    entropy: Tensor
    node: Tensor
    taps: dict[int, Tensor]
    tap_index: Tensor
    distributions: dict[tuple[int, int], Tensor]


def embed(adapter: Adapter, layout: Layout, features: Features | None, training: bool) -> tuple[Tensor, Features | None]:
    """Token embeddings (R, W, D) with video features in place, and the features as they were placed."""
    table = adapter.decoder.get_input_embeddings()
    ids = torch.from_numpy(layout.input_ids).to(table.weight.device)
    hidden = table(ids)  # (R, W, D)
    if features is None:
        return hidden, None
    if not len(layout.pads):  # features of a blank patch, for their graph alone
        return hidden + sum(part.sum() for part in (features.tokens, *features.deepstack)) * 0.0, None
    at = torch.from_numpy(layout.features).to(hidden.device)
    placed = features.map(lambda x: x.index_select(0, at).to(hidden.dtype))  # (M, D)
    if layout.pad_dropout is not None and training:
        probability = torch.from_numpy(layout.pad_dropout).to(placed.tokens).unsqueeze(1)
        placed = placed.map(lambda x: x * (torch.rand_like(x) >= probability) / (1 - probability))
    pads = torch.from_numpy(layout.pads).to(hidden.device)
    flat = hidden.flatten(0, 1).index_copy(0, pads, placed.tokens)
    return flat.view(hidden.shape), placed


def embed_texts(layout: Layout, hidden: Tensor, projection: nn.Module) -> Tensor:
    """Hidden states (R, W, D) with the texts that an encoder read, projected, in place; the projection is in the graph even where there are none."""
    if not layout.encoded:
        return hidden + sum(weight.sum() for weight in projection.parameters()) * 0.0
    at = np.concatenate([np.arange(first, first + len(states)) for first, states in layout.encoded])
    states = torch.cat([states for _, states in layout.encoded]).to(hidden.device, hidden.dtype)
    return hidden.flatten(0, 1).index_copy(0, torch.from_numpy(at).to(hidden.device), projection(states).to(hidden.dtype)).view(hidden.shape)


def run_blocks(
    adapter: Adapter,
    layout: Layout,
    hidden: Tensor,
    placed: Features | None,
    kind: attention.AttentionKind,
    tap_blocks: Sequence[int],
    record: Recording | None = None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """Run all stages.

    Args:
        adapter: of the model.
        layout: of the batch.
        hidden: (R, W, D) embeddings of the first stage.
        kind: of attention.
        placed: features at the video tokens, for DeepStack.
        tap_blocks: hidden states after these blocks are read at the tapped slots.
        record: wraps the attention of each stage (generation keeps keys and values).

    Returns:
        Hidden states of the last stage (rows, width, D), not normalised, and the taps.
    """
    layers = adapter.decoder.layers
    positions = torch.from_numpy(layout.positions).to(hidden.device)
    rotary = list(adapter.rotary(hidden, positions))
    taps: dict[int, Tensor] = {}
    tree = _attention(adapter, layout, layout.stages[0], hidden, kind, record)
    for stage, after in pairwise([*layout.stages, None]):
        assert stage is not None
        leave = None
        if kind != "dense" and not (placed and stage.stop <= len(placed.deepstack)):
            leave = exit_of(layout, stage, after, tapped=stage.stop in tap_blocks, training=adapter.decoder.training)
        next_tree = None if after is None else _attention(adapter, layout, after, hidden, kind, record)
        for block in range(stage.first, stage.stop - (leave is not None)):
            hidden = layers[block](hidden, attention_mask=None, position_embeddings=tuple(rotary), tree=tree)
            if placed and block < len(placed.deepstack):
                pads = torch.from_numpy(layout.pads).to(hidden.device)
                hidden = hidden.flatten(0, 1).index_add(0, pads, placed.deepstack[block]).view(hidden.shape)
            if block + 1 in tap_blocks:
                at = torch.from_numpy(stage.start[layout.taps] + stage.length[layout.taps] - 1).to(hidden.device)
                taps[block + 1] = hidden.flatten(0, 1).index_select(0, at)
        if leave is not None:
            hidden, left = run_exit(layers[stage.stop - 1], hidden, rotary, leave, after, next_tree)
            if stage.stop in tap_blocks:
                taps[stage.stop] = _tapped(layout, leave, after, hidden, left)
        elif after is not None:
            hidden = _repack(hidden, after)
        if after is not None:
            rotary = [_repack(x, after) for x in rotary]
        tree = next_tree
    return hidden, taps


def _attention(
    adapter: Adapter, layout: Layout, stage: Stage, hidden: Tensor, kind: attention.AttentionKind, record: Recording | None
) -> attention.TreeAttention:
    """Of one stage, with dropout where some of its nodes have it."""
    tree = attention.build(kind, stage, hidden.device, hidden.dtype)
    if layout.attention_dropout is not None and adapter.decoder.training:
        dropped = np.flatnonzero((layout.attention_dropout > 0) & (stage.length > 0))
        spans = [(int(stage.start[s]), int(stage.length[s]), float(layout.attention_dropout[s])) for s in dropped]
        tree = attention.Dropped(tree, spans, hidden.device) if spans else tree
    return record(tree) if record else tree


def _tapped(layout: Layout, leave: Exit, after: Stage | None, hidden: Tensor, left: Tensor) -> Tensor:
    """(K, D) of all taps in their order, of nodes that stay and of nodes that leave."""
    slots = layout.taps[leave.staying]
    at = np.zeros(0, np.int64) if after is None else after.start[slots] + after.length[slots] - 1
    stayed = hidden.flatten(0, 1).index_select(0, torch.from_numpy(at).to(hidden.device))
    order = np.argsort(np.concatenate([leave.staying, leave.leaving]))
    return torch.cat([stayed, left]).index_select(0, torch.from_numpy(order).to(hidden.device))


def _repack(x: Tensor, stage: Stage) -> Tensor:
    """Tokens (rows, width, ..) of the stage before -> those that stay, packed anew."""
    return x.flatten(0, 1).index_select(0, torch.from_numpy(stage.source).to(x.device)).view(stage.rows, stage.width, -1)


def score(adapter: Adapter, layout: Layout, hidden: Tensor, trees: Sequence[Tree]) -> tuple[Tensor, Tensor, dict[tuple[int, int], Tensor]]:
    """Log-probability and entropy of each target, and the distributions asked for; no other logits are computed.

    Raises:
        ModelError: a log-probability is NaN or infinite; names the samples.
    """
    logps, entropy, distributions = score_unchecked(adapter, layout, hidden, trees)
    if not torch.isfinite(logps).all():
        bad = layout.target_node[(~torch.isfinite(logps)).nonzero().flatten().tolist()]
        names = sorted({f"{trees[b].sample_id or f'tree {b}'} node {i}" for b, i in bad.tolist()})
        raise ModelError(f"log-probabilities are not finite in sample {', '.join(names[:5])}; check the weights, the learning rate and the loss scale")
    return logps, entropy, distributions


def score_unchecked(adapter: Adapter, layout: Layout, hidden: Tensor, trees: Sequence[Tree]) -> tuple[Tensor, Tensor, dict[tuple[int, int], Tensor]]:
    """`score` without a look at the numbers: on the meta device there are none."""
    origin = torch.from_numpy(layout.target_from).to(hidden.device)
    ids = torch.from_numpy(layout.target_ids).to(hidden.device)
    rows = adapter.decoder.norm(hidden.flatten(0, 1).index_select(0, origin))  # (N, D)
    head = adapter.model.get_output_embeddings()
    size = max(1, LOGITS_A_CHUNK // head.weight.shape[0])
    if len(rows) <= size:
        logps, entropy = _score_chunk(head, rows, ids)
    else:
        chunks = [checkpoint(_score_chunk, head, r, i, use_reentrant=False) for r, i in zip(rows.split(size), ids.split(size), strict=True)]
        logps, entropy = (torch.cat(part) for part in zip(*chunks, strict=True))
    wanted = {(b, i) for b, tree in enumerate(trees) for i, node in enumerate(tree.nodes) if node.distribution}
    distributions = {key: head(rows[_rows_of(layout, key)]).float().log_softmax(-1) for key in sorted(wanted)}
    return logps, entropy, distributions


def _rows_of(layout: Layout, key: tuple[int, int]) -> list[int]:
    return np.flatnonzero((layout.target_node == key).all(1)).tolist()


def _score_chunk(head: Any, rows: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(rows).float()  # (n, V)
    logps = -F.cross_entropy(logits, ids, reduction="none")
    with torch.no_grad():
        full = logits.log_softmax(-1)
        entropy = -(full.exp() * full).sum(-1)
    return logps, entropy


def join(output: TreeOutput, aside: TreeOutput, indices: Sequence[np.ndarray], indices_aside: Sequence[np.ndarray]) -> TreeOutput:
    """One output of two passes over parts of the same trees; the second brings only taps.

    Args:
        output: of some of the nodes.
        aside: of the others.
        indices: for each tree, (n,) which nodes the first pass held.
        indices_aside: the same of the second.
    """
    taps_at = torch.cat([_whole(output.tap_index, indices), _whole(aside.tap_index, indices_aside)])  # (K, 2)
    width = 1 + int(taps_at[:, 1].max()) if len(taps_at) else 1
    order = (taps_at[:, 0] * width + taps_at[:, 1]).argsort()
    taps = {block: torch.cat([rows, aside.taps[block]])[order] for block, rows in output.taps.items()}
    distributions = {(b, int(indices[b][i])): rows for (b, i), rows in output.distributions.items()}
    return TreeOutput(output.logps, output.entropy, _whole(output.node, indices), taps, taps_at[order], distributions)


def _whole(node: Tensor, indices: Sequence[np.ndarray]) -> Tensor:
    """(N, 2) tree and node in the parts -> in the whole trees."""
    found = [int(indices[b][i]) for b, i in node.tolist()]
    return torch.stack([node[:, 0], torch.tensor(found, dtype=node.dtype, device=node.device)], dim=1)
