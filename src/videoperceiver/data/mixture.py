"""Which sample comes when: a pure function of the seed and the position, so that a run resumes anywhere without a saved sampler.

Without weights all manifests are one: every epoch is a permutation of all samples, so a source comes in proportion to its size. With weights the order is
cut into blocks of `BLOCK` positions in which each source has its exact share of places, shuffled by the seed; each source runs through its own permutations.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from videoperceiver.errors import ConfigError

BLOCK = 1000
"""Positions over which the shares are exact; a source with a smaller share than 1 / BLOCK would never come."""


def indices(sizes: Sequence[int], weights: Sequence[float], seed: int, first: int, count: int) -> list[int]:
    """Samples of the positions first .. first + count - 1 of an endless order.

    Args:
        sizes: samples of each source; indices run over the sources one after another.
        weights: of the sources, any scale; empty: by size.
        seed: of the order.
        first: position, from 0.
        count: positions.

    Raises:
        ConfigError: not one weight above 0 a source, one too small to ever come, or a source without samples.
    """
    if not weights:
        return [_shuffled(sum(sizes), position, seed, ()) for position in range(first, first + count)]
    quotas = _quotas(sizes, tuple(weights))
    starts = np.cumsum([0, *sizes])
    found = []
    for position in range(first, first + count):
        block, place = divmod(position, BLOCK)
        source, before = _places(quotas, seed, block)[place]
        found.append(int(starts[source]) + _shuffled(sizes[source], block * quotas[source] + before, seed, (source,)))
    return found


def _shuffled(size: int, position: int, seed: int, source: tuple[int, ...]) -> int:
    """The item at a position of endless permutations of `size` items."""
    epoch, offset = divmod(position, size)
    return int(_permutation(size, seed, epoch, source)[offset])


@lru_cache(maxsize=64)
def _permutation(size: int, seed: int, epoch: int, source: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, 7, *source])).permutation(size)


def _quotas(sizes: Sequence[int], weights: tuple[float, ...]) -> tuple[int, ...]:
    """Places of each source in a block, by largest remainder."""
    if len(weights) != len(sizes) or min(weights) <= 0:
        raise ConfigError(f"train_weights is {list(weights)} for {len(sizes)} manifests in train; expected one number above 0 for each, or none to go by size")
    if min(sizes) < 1:
        raise ConfigError(f"manifest {list(sizes).index(0) + 1} of train has no sample of its own to draw; leave it and its weight out")
    exact = np.asarray(weights) / sum(weights) * BLOCK
    quotas = np.floor(exact).astype(int)
    quotas[np.argsort(quotas - exact, kind="stable")[: BLOCK - quotas.sum()]] += 1
    if quotas.min() < 1:
        raise ConfigError(f"train_weights is {list(weights)}: the smallest is below 1/{BLOCK} of their sum and would never come; raise it")
    return tuple(quotas.tolist())


@lru_cache(maxsize=4)
def _places(quotas: tuple[int, ...], seed: int, block: int) -> list[tuple[int, int]]:
    """For each place of a block its source, and how many places of that source come before it in the block."""
    order = np.random.default_rng(np.random.SeedSequence([seed, block, 11])).permutation(np.repeat(np.arange(len(quotas)), quotas))
    seen = [0] * len(quotas)
    places = []
    for source in order.tolist():
        places.append((source, seen[source]))
        seen[source] += 1
    return places
