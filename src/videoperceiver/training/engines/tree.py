"""The embedded default: the tree generator, with the trainer's own weights."""

from collections.abc import Sequence
from typing import NamedTuple

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Prefill, Seed, generate, prefill, resume
from videoperceiver.models.tree import Tree
from videoperceiver.training.engines.protocol import Drawn

PREFILL = "prefill"
"""Under this name trees remember the run they were part of."""


class Held(NamedTuple):
    """A run, the number of each of its trees by identity, and the weights' version."""

    run: Prefill
    numbers: dict[int, int]
    version: int


class TreeEngine:
    """`generate` on the policy itself: nothing to hand over, no mismatch.

    With one seed a leaf, trees that come again before the weights change are not run again: what was drawn from a tree first and what is drawn from another
    of its leaves later share one prefill. It lives as long as the trees do.

    Args:
        backbone: the policy.
    """

    name = "tree"

    def __init__(self, backbone: Backbone):
        self.backbone, self._version = backbone, 0

    def sample(
        self,
        trees: Sequence[Tree],
        leaves: Sequence[Sequence[int]],
        *,
        num_generations: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: Seed,
    ) -> Drawn:
        """See `RolloutEngine.sample`."""
        settings = {"num_generations": num_generations, "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
        if isinstance(seed, int):
            return generate(self.backbone, trees, leaves, **settings)
        run, which = self._run(trees)
        return resume(self.backbone, run, which, leaves, **settings)

    def _run(self, trees: Sequence[Tree]) -> tuple[Prefill, list[int]]:
        """The run that holds the trees, and their numbers in it."""
        held: Held | None = trees[0].memory.get(PREFILL)
        if held is None or held.version != self._version or any(id(tree) not in held.numbers for tree in trees):
            ends = [sorted(set(range(len(tree.nodes))) - {node.parent for node in tree.nodes}) for tree in trees]
            held = Held(prefill(self.backbone, trees, ends), {id(tree): i for i, tree in enumerate(trees)}, self._version)
            for tree in trees:
                tree.memory[PREFILL] = held
        return held.run, [held.numbers[id(tree)] for tree in trees]

    def sync(self, backbone: Backbone) -> None:
        """The weights are the policy's already; what was run with the old ones is run again."""
        self.backbone, self._version = backbone, self._version + 1

    def close(self) -> None:
        """Holds nothing."""
