"""How fast a step was, and what its time went to."""

import time
from collections.abc import Sequence

from videoperceiver.models.tree import Tree
from videoperceiver.training.loader import ClipLoader
from videoperceiver.training.world import World


class Throughput:
    """Times one step, from its making to `figures`.

    Args:
        loader: whose waiting is counted.
    """

    def __init__(self, loader: ClipLoader):
        self._loader, self._waited_s, self._began = loader, loader.wait_s, time.perf_counter()

    def figures(self, trees: Sequence[Tree], world: World) -> dict[str, float]:
        """Clips, tokens and their rates over all ranks; seconds and shares of this rank.

        Returns:
            clips, tokens, video_tokens: of the step (a patch that V and V' share counts once).
            step_s, wait_s, wait_share: the step, and of it the waiting for clips.
            clips_per_s, video_tokens_per_s: rates.
        """
        step_s, wait_s = time.perf_counter() - self._began, self._loader.wait_s - self._waited_s
        video = sum(len(node) for tree in trees for node in tree.nodes if node.patches is not None)
        sums = world.sum({"clips": len(trees), "tokens": sum(tree.num_tokens for tree in trees), "video_tokens": video})
        rates = {"clips_per_s": sums["clips"] / step_s, "video_tokens_per_s": sums["video_tokens"] / step_s}
        return {**sums, "wait_s": wait_s, "step_s": step_s, "wait_share": wait_s / step_s, **rates}
