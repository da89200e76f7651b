"""The Tree: one video and its continuations as runs of tokens that share their prefixes.

A `Node` is a run of tokens that follows its parent's last token; a `Tree` is a list of nodes, parents first. Two nodes see each
other only if one is the other's ancestor, so a packed tree computes exactly what one row a root-to-leaf path would.

    header + <|vision_start|> + patches            (node 0, shared by V and V')
    ├── more patches + <|vision_end|>              V
    │   ├── question 1 ── answer 1
    │   └── question 2 ── answer 2
    └── changed patches + <|vision_end|>           V', leaves after block l
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from videoperceiver.errors import BudgetError

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100
"""Label of a position that is not a target."""

ALL_BLOCKS = 1 << 30
"""Depth of a node that runs through every block."""


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens that follows its parent's last token.

    Attributes:
        input_ids: (L,) int64, L > 0.
        parent: index of the parent in the tree, -1 for a root. Roots never see each other.
        labels: (L,) int64: the token itself where it is a target, IGNORE elsewhere; None for no targets. The target at
            position 0 is predicted from the parent's last token.
        patches: (n,) entries of `Tree.patches` whose features fill this node's video tokens, in order.
        depth: the node and its descendants leave after this many blocks (early exit); None = all blocks.
        dropout: on the node's projected video features, in training mode only (the second view of a contrastive pair).
        attention_dropout: on the attention of the node's tokens to each other, in training mode only; of a root without children.
        gradient: False runs the node without gradient, apart from the others; of a root without children.
        encoded: (n, W) hidden states of a text encoder; projected, they take the place of the embeddings of the node's first n tokens.
        tap: whether the hidden state at the node's last token is read at the tap blocks.
        distribution: whether full log-softmax rows at the node's targets are returned.
        positions: (3, L) int64 temporal, height and width positions; None = text that follows the parent (filled by `Tree`).
    """

    input_ids: np.ndarray
    parent: int = -1
    labels: np.ndarray | None = None
    patches: np.ndarray | None = None
    depth: int | None = None
    dropout: float = 0.0
    attention_dropout: float = 0.0
    gradient: bool = True
    encoded: "Tensor | None" = None
    tap: bool = False
    distribution: bool = False
    positions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(eq=False)
class Tree:
    """One video's nodes and frames: the unit that is packed, trained on and generated from.

    Attributes:
        nodes: parents before children.
        frames: (T, H, W, 3) uint8 at the size the model sees.
        t_s: (T,) seconds of the source.
        patches: one tuple of frame indices a temporal patch; V and V' share the patches that are the same.
        sample_id: for messages.
        order: (n,) nodes in depth-first order: a subtree is contiguous.
        last: (n,) for each depth-first slot, the slot of the subtree's last node.
        depth: (n,) blocks each node runs through; a large number for all.
        memory: features of a frozen vision tower, shared by the trees of one builder (whose patches only grow).
    """

    nodes: Sequence[Node]
    frames: np.ndarray
    t_s: np.ndarray
    patches: Sequence[tuple[int, ...]]
    sample_id: str | None = None
    memory: dict[str, Any] = field(default_factory=dict, repr=False)
    order: np.ndarray = field(init=False, repr=False)
    last: np.ndarray = field(init=False, repr=False)
    depth: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        children: list[list[int]] = [[] for _ in self.nodes]
        roots: list[int] = []
        depth = np.full(len(self.nodes), ALL_BLOCKS)
        for i, node in enumerate(self.nodes):
            if node.parent >= i or node.parent < -1:
                raise ValueError(f"node {i} has parent {node.parent}; expected -1 or an earlier node")
            (roots if node.parent < 0 else children[node.parent]).append(i)
            inherited = ALL_BLOCKS if node.parent < 0 else depth[node.parent]
            depth[i] = inherited if node.depth is None else min(node.depth, inherited)
            if node.positions is None:
                node.positions = follow(self.nodes[node.parent] if node.parent >= 0 else None, len(node))
        self.depth = depth
        self.order, self.last = _depth_first(roots, children)

    @property
    def num_tokens(self) -> int:
        """Tokens of all nodes, each counted once."""
        return sum(len(node) for node in self.nodes)

    def part(self, *, gradient: bool) -> tuple["Tree", np.ndarray]:
        """The nodes that run with gradient, or those that run without, over the same frames and patches; and their indices in this tree."""
        kept = [i for i, node in enumerate(self.nodes) if node.gradient == gradient]
        new = {old: i for i, old in enumerate(kept)}
        nodes = [replace(self.nodes[i], parent=new.get(self.nodes[i].parent, -1)) for i in kept]
        return Tree(nodes, self.frames, self.t_s, self.patches, self.sample_id, self.memory), np.asarray(kept, dtype=np.int64)

    def path(self, index: int) -> list[int]:
        """Nodes from the root to `index`, included."""
        path = [index]
        while (parent := self.nodes[path[-1]].parent) >= 0:
            path.append(parent)
        return path[::-1]


def follow(parent: Node | None, length: int) -> np.ndarray:
    """Positions (3, L) of text that follows a node whose own are known, or starts a conversation."""
    start = 0
    if parent is not None:
        assert parent.positions is not None
        start = int(parent.positions[:, -1].max()) + 1
    return np.broadcast_to(np.arange(start, start + length), (3, length))


def _depth_first(roots: list[int], children: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    order: list[int] = []
    last = np.zeros(len(children), dtype=np.int64)
    stack = [(root, False) for root in reversed(roots)]
    slot: dict[int, int] = {}
    while stack:
        node, leaving = stack.pop()
        if leaving:
            last[slot[node]] = len(order) - 1
            continue
        slot[node] = len(order)
        order.append(node)
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(children[node]))
    return np.asarray(order, dtype=np.int64), last


def batches(trees: Iterable[Tree], max_tokens: int) -> list[list[Tree]]:
    """Consecutive trees in batches of at most `max_tokens` tokens.

    Raises:
        BudgetError: a tree alone is larger; media are never cut to make it fit.
    """
    out: list[list[Tree]] = []
    room = -1
    for tree in trees:
        size = tree.num_tokens
        if size > max_tokens:
            raise BudgetError(
                f"its tree has {size} tokens, expected at most {max_tokens} a batch; use fewer frames, a smaller frame size or a larger budget",
                sample_id=tree.sample_id,
            )
        if size > room:
            out.append([])
            room = max_tokens
        out[-1].append(tree)
        room -= size
    return out
