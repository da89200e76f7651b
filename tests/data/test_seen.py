"""data/seen.py: a set of names in eight bytes each is a set of names."""

import numpy as np

from videoperceiver.data.seen import Seen


def test_it_answers_as_a_set_does_across_many_merges():
    names = [f"clip {i}" for i in np.random.default_rng(0).integers(0, 40_000, 60_000)]
    seen, plain = Seen(), set()
    for name in names:
        assert seen.add(name) == (name not in plain)
        plain.add(name)
    assert len(seen) == len(plain)
