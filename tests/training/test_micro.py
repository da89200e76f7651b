"""Micro-batches: packing by hand, and the gradient of a step in portions against that of the step at once."""

import pytest
import torch
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data.clips import ClipStore
from videoperceiver.models.backbone import Backbone
from videoperceiver.runs import Run
from videoperceiver.stages import OptimConfig, RuntimeConfig, SftConfig
from videoperceiver.training import runtime, sft
from videoperceiver.training.loader import ClipLoader
from videoperceiver.training.micro import filler, in_step, micro_batches
from videoperceiver.training.policy import Policy
from videoperceiver.training.world import ALONE

WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video ."]


def test_trees_of_like_length_go_together_longest_first():
    assert micro_batches([10, 40, 30, 5, 20], 50) == [[1], [2, 4], [0, 3]]
    assert micro_batches([60, 10], 50) == [[0], [1]]  # one that is larger than the budget goes alone
    assert micro_batches([10, 40], 0) == [[0, 1]]
    assert micro_batches([], 50) == micro_batches([], 0) == []
    assert micro_batches([7, 7, 7], 14) == [[0, 1], [2]]  # equals keep their order


def test_alone_nothing_is_added():
    assert in_step([[0], [1]], ALONE) == [[0], [1]]


def test_values_that_are_shares_add_up_and_others_are_means_over_the_clips_that_have_them():
    parts = [{"ce": 0.5, "tv_b2": 1.0, "r1": 1.0, "m": float("nan")}, {"ce": 0.25, "tv_b2": 0.5, "r1": 0.25, "m": 0.5}]
    merged = runtime.whole_step(parts, [3, 1], ("ce", "tv"), ALONE)
    assert merged == {"ce": 0.75, "tv_b2": 1.5, "r1": pytest.approx(0.8125), "m": 0.5}
    assert runtime.whole_step(parts[:1], [3], ("ce",), ALONE) == pytest.approx(parts[0], nan_ok=True)


def step_of(model, data, folder, *overrides):
    """(metrics, gradients) of one step."""
    fields = [f"model.path={model}", f"train=[{data}]", f"output={folder}", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS, "batch_size=5", *overrides]
    config = load(SftConfig, None, fields)
    policy = Policy.load(config.model, config.optim, config.runtime)
    grads: dict[str, torch.Tensor] = {}

    def update(lr, clip_norm, samples):
        grads.update({name: weight.grad.clone() for name, weight in policy.backbone.named_parameters() if weight.grad is not None})
        return 0.0

    policy.update = update
    trainer = sft.Trainer(config, policy, ClipStore(config.train, policy.backbone.adapter.fit), Run.open_or_create(folder, config, stage="sft"))
    with ClipLoader(trainer.store, trainer._share, first=0, last=1, settings=RuntimeConfig()) as trainer.loader:
        return trainer.step(0), grads


@pytest.mark.parametrize("terms", [("contrastive.weight=0",), ("contrastive.weight=0", "uniform_weight=0.3", "joint_weight=0.2")])
def test_the_gradient_is_that_of_the_step_at_once(tiny_model, rendered, tmp_path, terms):
    whole, expected = step_of(tiny_model, rendered, tmp_path / "whole", *terms)
    parts, got = step_of(tiny_model, rendered, tmp_path / "parts", *terms, "runtime.micro_tokens=300")
    for name in {"loss", "ce", "uniform", "joint", "clips", "tokens"} & whole.keys():
        assert parts[name] == pytest.approx(whole[name], rel=1e-5), name
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_contrastive_negatives_come_from_the_micro_batch(tiny_model, rendered, tmp_path):
    whole, _ = step_of(tiny_model, rendered, tmp_path / "whole")
    parts, _ = step_of(tiny_model, rendered, tmp_path / "parts", "runtime.micro_tokens=300")
    assert parts["ce"] == pytest.approx(whole["ce"], rel=1e-5)
    assert 0 < parts["tv"] < 0.9 * whole["tv"]  # fewer negatives


def test_a_filler_weighs_nothing_and_reaches_every_weight(tiny_model):
    backbone = Backbone.load(tiny_model, freeze_vision=False)
    output = backbone([filler(backbone)])
    (output.logps.sum() * 0).backward()
    grads = [weight.grad for weight in backbone.parameters()]
    assert all(grad is not None and not grad.any() for grad in grads)
    runtime.build_optimizer(backbone, OptimConfig())
