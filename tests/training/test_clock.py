"""Each second belongs to one phase."""

import pytest
import torch
from torch import nn

from videoperceiver.training import clock as module
from videoperceiver.training.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """The time, moved by hand."""
    at = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: at[0])
    return at


def test_an_inner_phase_takes_its_time_from_the_outer(now):
    clock = Clock()
    with clock.phase("rollout"):
        now[0] += 2
        with clock.phase("reward"):
            now[0] += 3
        now[0] += 1
    now[0] += 50  # in no phase
    with clock.phase("update"):
        now[0] += 4
    assert clock.take() == {"rollout": 3, "reward": 3, "update": 4}
    assert clock.take() == {}


def test_vision_is_counted_wherever_it_runs(now):
    class Tower(nn.Module):
        def forward(self, x):
            now[0] += 5
            return x

    tower = Tower()
    clock = Clock(torch.device("cpu"), [tower])
    with clock.phase("update"):
        now[0] += 1
        tower(torch.zeros(1))
    assert clock.take() == {"update": 1, "vision": 5}


def test_a_phase_ends_with_an_error_too(now):
    clock = Clock()

    def fail():
        now[0] += 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        clock.timed("reward", fail)()
    with clock.phase("update"):
        now[0] += 2
    assert clock.take() == {"reward": 1, "update": 2}
