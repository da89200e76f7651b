"""What is trained: bfloat16 arithmetic over float32 weights, LoRA, averages; each resumes bit for bit."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.errors import ConfigError
from videoperceiver.stages import ModelConfig, OptimConfig, RuntimeConfig, SftConfig
from videoperceiver.training import checkpoints, sft
from videoperceiver.training.policy import Policy, strategy_of, trained
from videoperceiver.training.world import World

WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video ."]
ALL_AT_ONCE = [
    "model.dtype=bfloat16",
    "model.lora_rank=2",
    "model.gradient_checkpointing=true",
    "model.freeze_vision=true",
    "contrastive.queue_size=5",
    "optim.ema_decay=0.5",
    "runtime.micro_tokens=500",
]


def config_of(model, data, output, *overrides) -> SftConfig:
    return load(SftConfig, None, [f"model.path={model}", f"train=[{data}]", f"output={output}", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS, *overrides])


def stop_at(monkeypatch, number):
    step = sft.Trainer.step

    def stopped(self, at):
        if at == number:
            raise KeyboardInterrupt
        return step(self, at)

    monkeypatch.setattr(sft.Trainer, "step", stopped)


@pytest.mark.parametrize("fields", [ALL_AT_ONCE, ["optim.ema_decay=0.9", "export.ema=true", "contrastive.queue_size=5", "contrastive.view_dropout=0.3"]])
def test_a_stopped_run_ends_in_the_same_weights(tiny_model, rendered, tmp_path, fields):
    fields = [*fields, "steps=3"]
    whole = sft.run(config_of(tiny_model, rendered, tmp_path / "whole", *fields))
    config = config_of(tiny_model, rendered, tmp_path / "cut", *fields)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            sft.run(config)
    cut = sft.run(config)
    first, second = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, cut))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["sft/loss"] for row in whole.metrics()] == [row["sft/loss"] for row in cut.metrics()]


def test_bfloat16_follows_float32_and_keeps_float32_weights(tiny_model, rendered, tmp_path):
    losses = []
    for dtype in ("float32", "bfloat16"):
        run = sft.run(config_of(tiny_model, rendered, tmp_path / dtype, f"model.dtype={dtype}", "optim.lr=1e-6", "steps=2"))
        losses.append([row["sft/loss"] for row in run.metrics()])
        assert {weight.dtype for weight in load_file(run.folder / "model" / "model.safetensors").values()} == {getattr(torch, dtype)}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    checkpoint = tmp_path / "bfloat16" / "checkpoints" / "step-00000002"
    saved, start = checkpoints.weights(checkpoint), trained(Policy.load(ModelConfig(path=str(tiny_model)), OptimConfig(), RuntimeConfig()).backbone)
    assert {weight.dtype for weight in saved.values()} == {torch.float32}
    moved = [not torch.equal(weight, start[name]) for name, weight in saved.items() if name in start]
    assert np.mean(moved) > 0.9  # an update of 1e-6 would be lost in bfloat16


def test_frozen_weights_are_in_the_recipe_s_precision(tiny_model):
    policy = Policy.load(ModelConfig(path=str(tiny_model), dtype="bfloat16", lora_rank=2), OptimConfig(), RuntimeConfig())
    dtypes = {weight.requires_grad: weight.dtype for weight in policy.backbone.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}


def test_the_average_by_hand(tiny_model):
    policy = Policy.load(ModelConfig(path=str(tiny_model), dtype="float32"), OptimConfig(ema_decay=0.75), RuntimeConfig())
    name, weight = next(iter(trained(policy.backbone).items()))
    start = weight.detach().clone()
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        policy.update(lr=0.5, clip_norm=1e9)  # AdamW on a constant gradient: down by lr each time
    expected = 0.75 * (0.75 * start + 0.25 * (start - 0.5)) + 0.25 * (start - 1.0)
    torch.testing.assert_close(policy.average[name], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(weight.detach(), start - 1.0, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("lora", "strategy", "size", "expected"),
    [(0, "auto", 2, "fsdp2"), (8, "auto", 2, "ddp"), (8, "fsdp2", 2, "fsdp2"), (0, "ddp", 4, "ddp"), (0, "fsdp2", 1, "alone")],
)
def test_strategy(lora, strategy, size, expected):
    assert strategy_of(ModelConfig(path="x", lora_rank=lora), RuntimeConfig(strategy=strategy), World(size=size)) == expected


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("runtime.micro_tokens=-1", r"runtime\.micro_tokens is -1; expected at least 0"),
        ("runtime.prefetch=0", r"runtime\.prefetch is 0; expected at least 1"),
        ("runtime.deadline_s=0", r"runtime\.deadline_s is 0; expected seconds above 0"),
        ("optim.ema_decay=1.5", r"optim\.ema_decay is 1\.5; expected 0 \(no average\) or a number below 1"),
        ("runtime.strategy=fsdp", r"expects one of auto, ddp, fsdp2, got 'fsdp'"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path, field, message):
    with pytest.raises(ConfigError, match=message):
        config_of("m", "d", tmp_path / "run", field)
