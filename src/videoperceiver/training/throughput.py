"""How fast a step was, and what its time went to."""

import time
from collections.abc import Sequence

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.tree import Tree
from videoperceiver.training.loader import ClipLoader
from videoperceiver.training.world import World


class Throughput:
    """Times one step, from its making to `figures`.

    Args:
        loader: whose waiting is counted.
        backbone: whose forwards are timed.
    """

    def __init__(self, loader: ClipLoader, backbone: Backbone):
        self._loader, self._backbone, self._waited_s = loader, backbone, loader.wait_s
        self._vision_s, self._began = 0.0, time.perf_counter()

    def forward_done(self) -> None:
        """Counts the forward that was just made."""
        self._vision_s += self._backbone.timings.get("vision", 0.0)

    def figures(self, trees: Sequence[Tree], world: World) -> dict[str, float]:
        """Clips, tokens and their rates over all ranks; seconds and shares of this rank.

        Returns:
            clips, tokens, video_tokens: of the step (a patch that V and V' share counts once).
            step_s, wait_s: the step, and of it the waiting for clips.
            clips_per_s, video_tokens_per_s: rates.
            wait_share, vision_share, contrastive_share, llm_share: of the step's time, 1 together. Vision is the tower's forward; the rest is divided by
                tokens times blocks between what only the contrastive terms need, which leaves after block l, and all else: an estimate.
        """
        step_s, wait_s = time.perf_counter() - self._began, self._loader.wait_s - self._waited_s
        video = sum(len(node) for tree in trees for node in tree.nodes if node.patches is not None)
        sums = world.sum({"clips": len(trees), "tokens": sum(tree.num_tokens for tree in trees), "video_tokens": video})
        rates = {"clips_per_s": sums["clips"] / step_s, "video_tokens_per_s": sums["video_tokens"] / step_s}
        shares = {"wait_share": wait_s / step_s, "vision_share": self._vision_s / step_s}
        rest, contrastive = 1 - sum(shares.values()), contrastive_share(trees, self._backbone.num_blocks)
        shares |= {"contrastive_share": rest * contrastive, "llm_share": rest * (1 - contrastive)}
        return {**sums, "wait_s": wait_s, "step_s": step_s, **shares, **rates}


def contrastive_share(trees: Sequence[Tree], num_blocks: int) -> float:
    """Of the tokens times blocks of the language model, those of nodes that leave early: V', second view and keywords."""
    work = [(len(node) * (node.depth or num_blocks), node.depth is not None) for tree in trees for node in tree.nodes]
    return sum(cost for cost, early in work if early) / max(1, sum(cost for cost, _ in work))
