"""Stage 1 on two gloo processes equals one process, by DDP and by FSDP2; resuming on another number of ranks; a rank that dies is named by the other."""

import os
import shutil
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from tests.training import ranks
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.errors import RunError
from videoperceiver.runs import Run
from videoperceiver.stages import SftConfig
from videoperceiver.training import checkpoints, runtime, sft
from videoperceiver.training.policy import Policy, trained

WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video ."]
TERMS = ["contrastive.tap_blocks=[2]", "contrastive.view_dropout=0", "contrastive.queue_size=4", "uniform_weight=0.3", "joint_weight=0.2"]

HALF = ["runtime.strategy=fsdp2", "model.dtype=bfloat16", "model.lora_rank=2", "model.freeze_vision=true", "model.gradient_checkpointing=true", "steps=2"]
HALF += ["runtime.micro_tokens=250", "optim.ema_decay=0.9", "held_out.every=2", "held_out.manifests=[{data}]", "held_out.split=train", "held_out.clips=3"]


def config_of(model, data, output, *overrides) -> SftConfig:
    return load(
        SftConfig,
        None,
        [
            f"model.path={model}",
            f"train=[{data}]",
            f"output={output}",
            *RECIPE,
            *WORDS,
            *TERMS,
            "optim.warmup_share=0.5",
            *(field.replace("{data}", str(data)) for field in overrides),
        ],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def data(rendered, folder):
    """The only clip that rank 1 has in step 1 is unreadable: it then sends a filler through the model."""
    shutil.copytree(rendered.parent, folder / "data")
    samples = manifest.read(folder / "data" / "manifest.parquet")
    bad = samples[runtime.batch_indices(len(samples), 3, 0, 1)[2]]
    (folder / "data" / bad.video).write_bytes(b"not a video")
    return folder / "data" / "manifest.parquet"


@pytest.fixture(scope="module")
def alone(tiny_model, data, folder) -> Run:
    run = sft.run(config_of(tiny_model, data, folder / "alone"))
    assert [row["sft/clips"] for row in run.metrics()][:2] == [3, 2]
    return run


@pytest.fixture(scope="module")
def spread(tiny_model, data, folder):
    """By DDP; by FSDP2 stopped after two steps; both in one pair of processes. Batches of 3 are cut in 2 and 1."""
    first = config_of(tiny_model, data, folder / "fsdp2", "runtime.strategy=fsdp2")

    def work(rank):
        sft.run(config_of(tiny_model, data, folder / "ddp", "runtime.strategy=ddp"))
        os.environ["MASTER_PORT"] = str(ports[0])
        step = sft.Trainer.step

        def stopped(self, number):
            if number == 2:
                raise KeyboardInterrupt
            return step(self, number)

        sft.Trainer.step = stopped
        try:
            sft.run(first)
        except KeyboardInterrupt:
            sft.Trainer.step = step
        os.environ["MASTER_PORT"] = str(ports[1])
        sft.run(first)
        os.environ["MASTER_PORT"] = str(ports[2])
        sft.run(config_of(tiny_model, data, folder / "half", *HALF))

    ports = [ranks.free_port() for _ in range(3)]
    ranks.finish(ranks.start(work, folder / "spread"), folder / "spread")
    return {name: Run.open(folder / name) for name in ("ddp", "fsdp2", "half")}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_equal_one(alone, spread, strategy):
    for name in ("loss", "ce", "tv", "uniform", "joint", "clips", "tokens", "grad_norm"):
        expected, got = ([row[f"sft/{name}"] for row in run.metrics()] for run in (alone, spread[strategy]))
        assert got == pytest.approx(expected, rel=1e-4 if name != "grad_norm" else 1e-3), name
    expected, got = (load_file(run.folder / "model" / "model.safetensors") for run in (alone, spread[strategy]))
    assert expected.keys() == got.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(got[name], weight, rtol=0, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_fsdp2_in_bfloat16_with_lora_and_micro_batches_follows_one_process(tiny_model, data, spread, folder):
    alone = sft.run(config_of(tiny_model, data, folder / "half-alone", *HALF, "contrastive.queue_size=0"))
    for name in ("ce", "uniform", "joint", "clips"):  # contrastive negatives depend on which clips share a micro-batch
        expected, got = ([row[f"sft/{name}"] for row in run.metrics()] for run in (alone, spread["half"]))
        assert got == pytest.approx(expected, rel=2e-2), name
    figures = [{name for name in run.metrics()[-1] if name.startswith("held_out/")} for run in (alone, spread["half"])]
    assert figures[0] == figures[1]
    assert "held_out/accuracy_full" in figures[0]
    assert set(checkpoints.weights(spread["half"].checkpoint_path(2), average=True)) == set(checkpoints.weights(alone.checkpoint_path(2)))


def test_a_checkpoint_of_two_ranks_is_read_by_one_and_holds_the_same(tiny_model, rendered, alone, spread):
    states = []
    for run in (alone, spread["fsdp2"]):
        config = run.config(SftConfig)
        policy = Policy.load(config.model, config.optim, config.runtime)
        state = checkpoints.load(run.checkpoint_path(2), policy)
        assert state.step == 2
        assert len(state.tensors["2.ids"]) == 4  # the queue
        moments = {f"{name}|{kind}": policy.optimizer.state[weight][kind] for name, weight in trained(policy.backbone).items() for kind in ("exp_avg", "step")}
        states.append({**{name: weight.detach() for name, weight in trained(policy.backbone).items()}, **moments})
    assert len(list((spread["fsdp2"].checkpoint_path(2)).glob("rank-*"))) == 2
    assert states[0].keys() == states[1].keys()
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def endless(rank, folder, config):
    """Trains for ever; says so after the first step, then rank 1 does what the test asked for."""
    step = sft.Trainer.step

    def told(self, number):
        metrics = step(self, number)
        (folder / f"pid-{rank}").write_text(str(os.getpid()))
        return metrics

    sft.Trainer.step = told
    sft.run(config)


def wait_for(path, timeout_s=60):
    until = time.monotonic() + timeout_s
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.05)
    return int(path.read_text())


@pytest.mark.parametrize(
    ("victim", "how", "message"),
    [
        (1, signal.SIGKILL, "died without a word: it was killed, or ran out of memory"),
        (1, signal.SIGSTOP, "gave no sign of life for 3 s"),
        (0, signal.SIGSTOP, "the ranks' store has not answered for 3 s"),  # it lives with rank 0
    ],
)
def test_a_rank_that_dies_is_named_and_the_other_stops_within_a_minute(tiny_model, rendered, tmp_path, monkeypatch, victim, how, message):
    monkeypatch.setattr("videoperceiver.training.world.SILENCE_S", 3.0)
    config = config_of(tiny_model, rendered, tmp_path / "run", "steps=100000")
    processes = ranks.start(lambda rank: endless(rank, tmp_path, config), tmp_path / "said")
    pid = wait_for(tmp_path / f"pid-{victim}")
    other = 1 - victim
    os.kill(pid, how)
    began = time.monotonic()
    processes[other].join(60)
    took_s = time.monotonic() - began
    os.kill(pid, signal.SIGKILL)
    assert processes[other].exitcode == 1
    assert took_s < 45
    said = (tmp_path / f"said-{other}").read_text()
    assert message in said
    assert (f"rank 1 (process {pid} on " if victim else "rank 0 or its torchrun is gone") in said
    assert "the same command continues it from the last checkpoint" in said
    processes[victim].join(10)
    assert Run.open(tmp_path / "run").status == "interrupted"


def test_what_stops_one_rank_is_said_by_the_other(tiny_model, rendered, tmp_path):
    def work(rank):
        if rank == 1:
            sft.Trainer.step = lambda self, number: (_ for _ in ()).throw(RunError("the loss of step 0 is nan; samples: clip-b"))
        sft.run(config_of(tiny_model, rendered, tmp_path / "run"))

    processes = ranks.start(work, tmp_path / "said")
    for process in processes:
        process.join(60)
    said = (tmp_path / "said-0").read_text()
    assert "RunError: rank 1 (process" in said
    assert "stopped: the loss of step 0 is nan; samples: clip-b" in said
