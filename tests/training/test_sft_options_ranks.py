"""The options of stage 1's contrastive loss on two gloo processes: DDP and FSDP2 equal one process."""

import os

import pytest
import torch
from tests.training import ranks
from tests.training.test_sft_options import EVERYTHING
from tests.training.test_sft_sources import TEXT, options

from videoperceiver.data import manifest
from videoperceiver.runs import Run
from videoperceiver.training import checkpoints, sft

STRATEGIES = ("ddp", "fsdp2")
MORE = [
    "contrastive.text_encoder=bert",
    "contrastive.lr=1e-2",
    "contrastive.view_dropout=0",
    "batch_size=4",
    "train_weights=[3,1]",
    "steps=3",
    "checkpoint_every=2",
]


@pytest.fixture(scope="module")
def runs(tiny_model, rendered, bert, tmp_path_factory):
    """The same recipe three ways; a text row leaves a rank without video at times."""
    folder = tmp_path_factory.mktemp("options")
    manifest.write([TEXT], folder / "text.jsonl")

    def config(name, *extra):
        more = [*EVERYTHING, *MORE, f"contrastive.text_model={bert}", *extra]
        return options(tiny_model, [rendered, folder / "text.jsonl"], folder / name, *more)

    def work(rank):
        for i, strategy in enumerate(STRATEGIES):
            os.environ["MASTER_PORT"] = str(port + i)
            sft.run(config(strategy, f"runtime.strategy={strategy}"))

    port = min(ranks.free_port(), 65000)
    ranks.finish(ranks.start(work, folder / "said"), folder / "said")
    return sft.run(config("alone")), {strategy: Run.open(folder / strategy) for strategy in STRATEGIES}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_with_every_option_equal_one(runs, strategy):
    alone, spread = runs
    for name in ("loss", "ce", "vv", "tv", "vt", "grad_norm"):
        expected, got = ([row[f"sft/{name}"] for row in run.metrics()] for run in (alone, spread[strategy]))
        assert got == pytest.approx(expected, rel=1e-4 if name != "grad_norm" else 1e-3), name
    expected, got = (checkpoints.weights(run.checkpoint_path(2)) for run in (alone, spread[strategy]))
    assert expected.keys() == got.keys()
    assert "text_projection.weight" in got
    for name, weight in expected.items():
        torch.testing.assert_close(got[name], weight, rtol=0, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")
