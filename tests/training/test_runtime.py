"""Schedules by hand, data order, roles, and checkpoints that survive a failed write."""

import math

import numpy as np
import pytest
import torch

from videoperceiver.errors import RunError
from videoperceiver.models.forward import TreeOutput
from videoperceiver.runs import Run
from videoperceiver.stages import OptimConfig
from videoperceiver.training import runtime


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("cosine", [0.5, 1.0] + [0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]),
    ],
)
def test_learning_rate_by_hand(schedule, expected):
    config = OptimConfig(lr=1.0, schedule=schedule, warmup_share=0.2)
    assert [runtime.learning_rate(config, step, 10) for step in range(10)] == pytest.approx(expected)


def test_no_warm_up_starts_at_the_full_rate():
    assert runtime.learning_rate(OptimConfig(lr=2.0, schedule="constant", warmup_share=0.0), 0, 10) == 2.0


def test_every_epoch_holds_every_sample_once_in_an_order_of_its_own():
    drawn = [i for step in range(6) for i in runtime.batch_indices(7, 3, seed=1, step=step)]  # 18 draws: two epochs and four
    assert sorted(drawn[:7]) == sorted(drawn[7:14]) == list(range(7))
    assert drawn[:7] != drawn[7:14]
    assert runtime.batch_indices(7, 3, seed=1, step=2) == drawn[6:9]  # a step's batch needs no history
    assert drawn != [i for step in range(6) for i in runtime.batch_indices(7, 3, seed=2, step=step)]


def test_a_batch_larger_than_the_data_wraps_around():
    assert sorted(runtime.batch_indices(2, 4, seed=0, step=0)) == [0, 0, 1, 1]


def test_step_rng_repeats_numpy_and_torch():
    first = (runtime.step_rng(3, 5).random(), torch.rand(()).item())
    assert (runtime.step_rng(3, 5).random(), torch.rand(()).item()) == first
    assert runtime.step_rng(3, 6).random() != first[0]


def test_roles_marks_only_mapped_nodes():
    output = TreeOutput(torch.zeros(4), torch.zeros(4), torch.tensor([[0, 2], [0, 4], [1, 2], [1, 2]]), {}, torch.zeros(0, 2), {})
    assert runtime.roles(output, [{2: 7}, {2: 1, 9: 3}]).tolist() == [7, 0, 1, 1]


def test_vectors_are_not_decayed():
    module = torch.nn.Linear(2, 2)
    groups = runtime.build_optimizer(module, OptimConfig(weight_decay=0.1)).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.1, [2]), (0.0, [1])]


def test_gradients_are_clipped_and_their_norm_is_that_before():
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    optimizer = torch.optim.SGD(module.parameters(), lr=123.0)
    (3.0 * module.weight.sum()).backward()
    norm = runtime.apply_gradients(module, optimizer, lr=0.5, clip_norm=1.0)
    assert norm == pytest.approx(3.0)
    assert module.weight.item() == pytest.approx(-0.5, abs=1e-4)  # a gradient of 3 clipped to 1, times the lr given
    assert module.weight.grad is None


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(bad):
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.25)
    (bad * module.weight.sum()).backward()
    with pytest.raises(RunError, match=r"the norm of the gradient is (inf|nan), expected a finite number; samples: a, b\. The weights are untouched"):
        runtime.apply_gradients(module, torch.optim.SGD(module.parameters(), lr=1.0), 0.5, 1.0, ["b", "a", "b"])
    assert module.weight.item() == 0.25


def test_non_finite_loss_names_samples_and_stops(tmp_path):
    run = Run.open_or_create(tmp_path / "run", OptimConfig(), stage="sft")
    with pytest.raises(RunError, match=r"loss of step 3 is nan.*clip-b, clip-z"):
        runtime.require_finite(torch.tensor(np.nan), 3, ["clip-z", "clip-b", "clip-z"], run)
