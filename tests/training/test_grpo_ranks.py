"""Stage 2 on two gloo processes equals one process: groups are split over them, scores, b and advantages are of the whole batch."""

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tests.training import ranks
from tests.training.groups import config_of

from videoperceiver.runs import Run
from videoperceiver.training import grpo

OVERRIDES = [
    "sampling.stream=question",
    "batch_size=3",  # cut in 2 and 1
    "uniform_weight=0.3",
    "counterfactual.kl_weight=0.2",
    "counterfactual.vneg_weight=0.5",
    "counterfactual.evidence_strength=1",
    "beta=0.05",
    "sampling.no_signal=resample",
    "steps=3",
]


IDLE = ["batch_size=1", "steps=2", "reward.comparator=expected", "counterfactual.vneg_weight=0", "runtime.strategy=fsdp2"]
"""The second process never has a clip."""


@pytest.fixture(scope="module")
def runs(tiny_model, rendered, tmp_path_factory):
    """One process; two by DDP in micro-batches; two by FSDP2, stopped and continued; two of which one has no clip."""
    folder = tmp_path_factory.mktemp("ranks")
    configs = {
        "ddp": config_of(tiny_model, rendered, folder / "ddp", *OVERRIDES, "runtime.strategy=ddp", "runtime.micro_tokens=1"),
        "fsdp2": config_of(tiny_model, rendered, folder / "fsdp2", *OVERRIDES, "runtime.strategy=fsdp2"),
    }
    idle = config_of(tiny_model, rendered, folder / "idle", *OVERRIDES, *IDLE)

    def work(rank):
        grpo.run(configs["ddp"])
        os.environ["MASTER_PORT"] = str(ports[0])
        step = grpo.Trainer.step

        def stopped(self, number):
            if number == 2:
                raise KeyboardInterrupt
            return step(self, number)

        grpo.Trainer.step = stopped
        try:
            grpo.run(configs["fsdp2"])
        except KeyboardInterrupt:
            grpo.Trainer.step = step
        os.environ["MASTER_PORT"] = str(ports[1])
        grpo.run(configs["fsdp2"])
        os.environ["MASTER_PORT"] = str(ports[2])
        grpo.run(idle)

    ports = [ranks.free_port(), ranks.free_port(), ranks.free_port()]
    ranks.finish(ranks.start(work, folder / "log"), folder / "log")
    alone = grpo.run(config_of(tiny_model, rendered, folder / "alone", *OVERRIDES))
    busy = grpo.run(replace(idle, output=str(folder / "busy")))
    return {"alone": alone, "busy": busy} | {name: Run.open(folder / name) for name in [*configs, "idle"]}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_equal_one(runs, strategy):
    names = ["q", "q_degraded", "comparative", "baseline", "refeed_rate", "redrawn", "no_signal", "base_reward", "length", "kept", "without_twin"]
    for name in [*names, "loss", "uniform", "capped_kl", "vneg", "kl", "entropy", "grad_norm"]:
        expected, got = ([row[f"grpo/{name}"] for row in runs[key].metrics()] for key in ("alone", strategy))
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-5, nan_ok=True), name
    expected, got = (load_file(runs[key].folder / "model" / "model.safetensors") for key in ("alone", strategy))
    assert expected.keys() == got.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(got[name], weight, rtol=0, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_a_process_without_clips_waits_for_nobody(runs):
    for name in ("q", "q_degraded", "baseline", "loss", "grad_norm"):
        expected, got = ([row[f"grpo/{name}"] for row in runs[key].metrics()] for key in ("busy", "idle"))
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-5, nan_ok=True), name


def test_rejects_and_reward_errors_of_all_processes_are_written_once(tiny_model, rendered, tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text("def rule(completion, question):\n    raise ValueError(completion)\n")
    overrides = ["sampling.stream=question", "batch_size=4", "max_reject_rate=1", "steps=1", "sampling.max_refeed=0"]
    config = config_of(tiny_model, rendered, tmp_path / "both", *overrides, f"reward.base={{'{rules}:rule': 1.0}}")
    ranks.finish(ranks.start(lambda rank: grpo.run(config), tmp_path / "log"), tmp_path / "log")
    run = Run.open(config.output)
    found = [row["reason"] for row in run.rejects()]
    assert len(found) == len(set(found)) > 4
    assert len({row["sample_id"] for row in run.rejects()}) == 4
    [row] = run.metrics()
    assert row["grpo/failed_rewards"] == 1.0
    assert row["grpo/skipped_steps"] == 1.0  # nothing is left to learn from
