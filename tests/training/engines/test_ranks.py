"""Two processes that share one server: weights are gathered by both, sent by one, and nobody asks before they are there."""

import pytest
import torch
from tests.training import ranks
from tests.training.engines.standin import StandIn
from tests.training.groups import config_of

from videoperceiver.models import Backbone
from videoperceiver.training import grpo


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_and_one_server(tiny_model, rendered, tmp_path, strategy):
    overrides = [
        "steps=2",
        "uniform_weight=0.1",
        "sampling.no_signal=resample",
        f"runtime.strategy={strategy}",
        "engine.kind=server",
        "engine.max_mismatch=1000",
    ]
    with StandIn() as server:
        config = config_of(tiny_model, rendered, tmp_path / "run", *overrides, f"engine.servers=[{server.url}]", "engine.deadline_s=60")
        ranks.finish(ranks.start(lambda rank: grpo.run(config), tmp_path / "log"), tmp_path / "log")
    assert server.stale == 0
    assert len(server.requests) >= 4  # each rank in each step
    assert [part.version for part in server.parts if part.last] == [1, 2, 3]  # at the start and after each update, once for both
    trained = Backbone.load(tmp_path / "run" / "model").adapter.model
    last = {name: tensor for part in server.parts if part.version == 3 for name, tensor in part.tensors.items()}
    assert last
    for name, tensor in last.items():
        assert torch.equal(tensor, trained.get_parameter(name)), name
