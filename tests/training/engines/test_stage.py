"""A server that fails in the middle of stage 2: the run stops with its name, and ends in the weights of one that was never disturbed."""

import pytest
import torch
from tests.training.engines.standin import StandIn
from tests.training.groups import config_of

from videoperceiver.errors import EngineError
from videoperceiver.models import Backbone
from videoperceiver.runs import Run
from videoperceiver.training import grpo

OVERRIDES = ["steps=3", "checkpoint_every=1", "uniform_weight=0.1", "sampling.max_refeed=0", "engine.kind=server", "engine.max_mismatch=1000"]


@pytest.fixture
def recipe(tiny_model, rendered, tmp_path):
    return lambda server, name: config_of(tiny_model, rendered, tmp_path / name, *OVERRIDES, f"engine.servers=[{server.url}]", "engine.deadline_s=5")


def parameters(run: Run) -> dict[str, torch.Tensor]:
    return dict(Backbone.load(run.folder / "model").adapter.model.named_parameters())


@pytest.mark.parametrize("mode", ["dies", "nan"])
def test_the_run_stops_and_goes_on_by_the_same_command(recipe, mode):
    with StandIn() as server:
        undisturbed = parameters(grpo.run(recipe(server, "undisturbed")))
    with StandIn(mode, good=2) as server:
        config = recipe(server, "run")
        with pytest.raises(EngineError, match=f"vllm server 127.0.0.1:{server.url.rsplit(':', 1)[1]}"):
            grpo.run(config)
        server._mode = "ok"
        resumed = parameters(grpo.run(config))
    assert all(torch.equal(undisturbed[name], tensor) for name, tensor in resumed.items())
