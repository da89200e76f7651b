"""Video features of a batch of trees: every distinct temporal patch is encoded once.

A patch is independent of all others in the vision towers used here, so V' costs only the patches that differ from V, and questions,
completions and stages that share a tree share its features: with gradients where the tower is trained, from the trees' memory or from a
cache on disk where it is frozen.
"""

from collections.abc import Sequence

import numpy as np
import torch

from videoperceiver.models.adapters import Adapter, Features
from videoperceiver.models.feature_cache import FeatureCache
from videoperceiver.models.tree import Tree

Part = tuple[Tree, int]
"""A tree and the first of its patches that is still to be encoded."""


def encode(adapter: Adapter, trees: Sequence[Tree], device: torch.device) -> Features:
    """Features of all patches of all trees with gradients: tokens (patches x tokens, D), tree after tree."""
    return _join(_encode([(tree, 0) for tree in trees if tree.patches], adapter, device))


@torch.no_grad()
def encode_frozen(adapter: Adapter, trees: Sequence[Tree], device: torch.device, cache: FeatureCache | None) -> Features:
    """The same from a frozen tower: what a tree remembers or the cache on disk holds is not computed again."""
    missing: dict[int, Part] = {}
    for tree in trees:
        known = tree.memory.get("patches", 0)
        if known < len(tree.patches):
            missing[id(tree.memory)] = (tree, known)
    parts = list(missing.values())
    found = [cache.read(_pixels(part)) if cache else None for part in parts]
    fresh = iter(_encode([part for part, hit in zip(parts, found, strict=True) if hit is None], adapter, device))
    for (tree, known), hit in zip(parts, found, strict=True):
        features = next(fresh) if hit is None else hit.map(lambda x: x.to(device))
        if cache and hit is None:
            cache.write(_pixels((tree, known)), features)
        tree.memory["features"] = _join([tree.memory["features"], features]) if known else features
        tree.memory["patches"] = len(tree.patches)
    return _join([_first(tree, adapter) for tree in trees if tree.patches])


def _first(tree: Tree, adapter: Adapter) -> Features:
    """A tree's own patches; its memory may hold more, from a later tree of the same builder."""
    rows = len(tree.patches) * adapter.tokens_per_patch(*tree.frames.shape[1:3])
    return tree.memory["features"].map(lambda x: x[:rows])


def _pixels(part: Part) -> np.ndarray:
    """(n, frames_per_patch, H, W, 3) uint8 of a tree's patches from the given one on."""
    tree, known = part
    return tree.frames[np.asarray(tree.patches[known:])]


def _encode(parts: list[Part], adapter: Adapter, device: torch.device) -> list[Features]:
    """One call of the tower for each frame size; features (n x tokens, D) of each part."""
    out: dict[int, Features] = {}
    shapes = [tree.frames.shape[1:] for tree, _ in parts]
    for shape in dict.fromkeys(shapes):
        members = [i for i, other in enumerate(shapes) if other == shape]
        pixels = [_pixels(parts[i]) for i in members]
        features = adapter.encode(torch.from_numpy(np.concatenate(pixels)).to(device))
        counts = [len(block) for block in pixels]
        split = [features.tokens.split(counts), *(extra.split(counts) for extra in features.deepstack)]
        for i, (tokens, *deepstack) in zip(members, zip(*split, strict=True), strict=True):
            out[i] = Features(tokens, tuple(deepstack)).map(lambda x: x.flatten(0, 1))
    return [out[i] for i in range(len(parts))]


def _join(parts: list[Features]) -> Features:
    if len(parts) == 1:
        return parts[0]
    return Features(torch.cat([part.tokens for part in parts]), tuple(torch.cat(extras) for extras in zip(*(part.deepstack for part in parts), strict=True)))
