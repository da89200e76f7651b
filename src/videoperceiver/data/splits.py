"""Training, validation and test clips by video: what shows the same pictures lands in one split, whatever is added later.

A clip names the groups it belongs to (its source file, its content's hash, the clip that it nearly repeats); clips that share one, directly or through
others, stay together. Such a cluster's split follows from a hash of its first group alone, so that what is added moves nothing, but for a clip that joins
two clusters: they are then one, and lie where the earlier of them lay.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

from videoperceiver.errors import ConfigError

HELD_OUT_FIRST = ("test", "validation", "train")
"""Which split a cluster follows where the source put its members into several: the one that must stay clean."""


def assign_splits(ids_and_groups: Iterable[tuple[str, str]], shares: Mapping[str, float], seed: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The split of each clip.

    Args:
        ids_and_groups: (clip, group) pairs; a clip occurs once for every group it belongs to.
        shares: split -> share of the clusters, summing to 1.
        seed: another one, another division.
        given: clip -> the split that its source names; it stays, and what shares a cluster with it follows.

    Returns:
        Clip -> split, in the order in which clips first occur.

    Raises:
        ConfigError: shares that are no shares of 1.
    """
    if not shares or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise ConfigError(f"splits are {dict(shares)}; expected shares of at least 0 that sum to 1, e.g. train 0.9, validation 0.05, test 0.05")
    given, clips = given or {}, _clusters(ids_and_groups)
    led: dict[str, str] = {}
    for clip, cluster in clips.items():
        if clip in given:
            led[cluster] = min((led.get(cluster, given[clip]), given[clip]), key=_cleanest)
    return {clip: given.get(clip) or led.get(cluster) or _drawn(cluster, shares, seed) for clip, cluster in clips.items()}


def spanning(ids_and_groups: Iterable[tuple[str, str]], splits: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    """Clusters whose clips lie in several splits, which only a source's own division does: cluster -> split -> clips."""
    found: dict[str, dict[str, list[str]]] = {}
    for clip, cluster in _clusters(ids_and_groups).items():
        found.setdefault(cluster, {}).setdefault(splits[clip], []).append(clip)
    return {cluster: members for cluster, members in found.items() if len(members) > 1}


def _clusters(ids_and_groups: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Clip -> the first group of its cluster (union by the earlier one, paths halved)."""
    parent: dict[str, str] = {}
    order: dict[str, int] = {}

    def root(group: str) -> str:
        while parent.setdefault(group, group) != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first: dict[str, str] = {}
    for clip, group in ids_and_groups:
        order.setdefault(group, len(order))
        early, late = sorted((root(first.setdefault(clip, group)), root(group)), key=lambda name: order[name])
        parent[late] = early
    return {clip: root(group) for clip, group in first.items()}


def _drawn(cluster: str, shares: Mapping[str, float], seed: int) -> str:
    """The split whose stretch of [0, 1) holds the cluster's hash."""
    at = int.from_bytes(hashlib.sha256(f"{seed}:{cluster}".encode()).digest()[:8], "big") / 2**64
    end = 0.0
    for split, share in shares.items():
        end += share
        if at < end:
            return split
    return max(shares, key=lambda split: shares[split])  # rounding left a gap below 1


def _cleanest(split: str) -> int:
    return HELD_OUT_FIRST.index(split) if split in HELD_OUT_FIRST else len(HELD_OUT_FIRST)
