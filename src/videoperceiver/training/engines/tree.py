"""The embedded default: the tree generator, with the trainer's own weights."""

from collections.abc import Sequence

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Seed, generate
from videoperceiver.models.tree import Tree
from videoperceiver.training.engines.protocol import Drawn


class TreeEngine:
    """`generate` on the policy itself: nothing to hand over, no mismatch.

    Args:
        backbone: the policy.
    """

    name = "tree"

    def __init__(self, backbone: Backbone):
        self.backbone = backbone

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
        return generate(
            self.backbone,
            trees,
            leaves,
            num_generations=num_generations,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )

    def sync(self, backbone: Backbone) -> None:
        """The weights are the policy's already; another policy takes their place."""
        self.backbone = backbone

    def close(self) -> None:
        """Holds nothing."""
