"""Order of training samples: by size as one permutation an epoch, by weights in exact shares, the same from any step on."""

import numpy as np
import pytest

from videoperceiver.data.mixture import BLOCK, indices
from videoperceiver.errors import ConfigError


def test_by_size_every_epoch_is_its_own_permutation_of_all():
    order = indices([3, 4], [], 5, 0, 21)
    epochs = [order[i : i + 7] for i in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert epochs[0] != epochs[1]
    expected = np.random.default_rng(np.random.SeedSequence([5, 1, 7])).permutation(7).tolist()
    assert epochs[1] == expected
    assert indices([7], [], 5, 7, 7) == expected


def test_weights_give_exact_shares_and_each_source_its_own_permutations():
    order = indices([10, 1000, 5], [1.0, 2.0, 7.0], 0, 0, BLOCK)
    source = np.digitize(order, [10, 1010])
    assert np.bincount(source).tolist() == [100, 200, 700]
    small = [i for i in order if i < 10]
    assert [sorted(small[k : k + 10]) for k in range(0, 100, 10)] == [list(range(10))] * 10
    large = [i for i in order if 10 <= i < 1010]
    assert len(set(large)) == 200  # no sample twice before all came
    later = [i for i in indices([10, 1000, 5], [1.0, 2.0, 7.0], 0, BLOCK, 4 * BLOCK) if 10 <= i < 1010]
    assert sorted(large + later) == list(range(10, 1010))
    assert np.abs(np.diff(source)).astype(bool).sum() > 20  # mixed, not one source after another


def test_any_part_of_the_order_can_be_had_alone():
    whole = indices([4, 9], [3, 1], 2, 0, 2500)
    assert indices([4, 9], [3, 1], 2, 1990, 20) == whole[1990:2010]
    assert indices([4, 9], [3, 1], 3, 0, 50) != whole[:50]
    assert indices([4, 9], [6, 2], 2, 0, 50) == whole[:50]


@pytest.mark.parametrize(
    ("sizes", "weights", "said"),
    [
        ([3, 4], [1.0], "for 2 manifests"),
        ([3, 4], [1.0, 0.0], "above 0"),
        ([3, 0], [1.0, 1.0], "manifest 2 of train has no sample"),
        ([3, 4], [1.0, 5000.0], "would never come"),
    ],
)
def test_weights_that_cannot_be_kept_are_refused(sizes, weights, said):
    with pytest.raises(ConfigError, match=said):
        indices(sizes, weights, 0, 0, 1)
