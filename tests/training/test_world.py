"""A world of one: nothing of torch.distributed is touched; shares; memory that runs out, in words."""

import os

import pytest
import torch
import torch.distributed as dist

from videoperceiver.errors import RunError
from videoperceiver.training.world import World, joined


def test_alone_nothing_is_started():
    assert "WORLD_SIZE" not in os.environ
    with joined() as world:
        assert (world.rank, world.size, world.speaks) == (0, 1, True)
        assert not dist.is_initialized()
        assert world.sum({"a": 2.5}) == {"a": 2.5}
        assert world.gather(["x"]) == [["x"]]
        world.barrier()


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(5, 2, [[0, 1, 2], [3, 4]]), (1, 3, [[0], [], []]), (6, 3, [[0, 1], [2, 3], [4, 5]]), (0, 2, [[], []])]
)
def test_shares_are_contiguous_and_differ_by_one_at_most(count, size, expected):
    assert [list(World(rank, size).share(list(range(count)))) for rank in range(size)] == expected


def test_only_the_first_rank_speaks():
    assert [World(rank, 2).speaks for rank in range(2)] == [True, False]


def test_a_full_gpu_is_said_with_what_to_do():
    words = r"memory is full \(CUDA out of memory\. Tried to allocate 2 GiB\)\. Lower runtime\.micro_tokens .* `videoperceiver plan`"
    with pytest.raises(RunError, match=words), joined():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore of it")
