"""Names that came up before, in eight bytes each: for manifests of millions of rows."""

import numpy as np

_LEAST = 4096
"""Names that wait as they are before they are sorted in."""


class Seen:
    """A set of names, to which one is added at a time; it holds 64-bit hashes, so that two names of n are taken for one with a chance of n^2 / 2^65."""

    def __init__(self) -> None:
        self._sorted, self._new = np.zeros(0, np.int64), set[int]()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._new)

    def __contains__(self, name: str) -> bool:
        key = hash(name)
        at = int(self._sorted.searchsorted(key))
        return key in self._new or (at < len(self._sorted) and bool(self._sorted[at] == key))

    def add(self, name: str) -> bool:
        """Adds a name; whether it is new."""
        if name in self:
            return False
        self._new.add(hash(name))
        if len(self._new) >= max(_LEAST, len(self._sorted) // 8):  # a growing share, so that sorting in takes linear time in all
            self._sorted = np.union1d(self._sorted, np.fromiter(self._new, np.int64, len(self._new)))
            self._new = set()
        return True
