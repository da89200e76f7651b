"""A rollout server that fails in the middle of a step of stage 2, in every way it can: stopped in time and by name, with the checkpoint before untouched."""

import hashlib
import time

import pytest
import torch
from safetensors.torch import load_file
from tests.training.engines.standin import MODES, StandIn
from tests.training.groups import config_of

from videoperceiver.errors import EngineError
from videoperceiver.runs import Run
from videoperceiver.training import grpo

DEADLINE_S = 4
SAID = {
    "dies": r"/sample failed \(.*\): it died",
    "hangs": rf"no answer to /sample within {DEADLINE_S} s: it hangs",
    "trickles": rf"no answer to /sample within {DEADLINE_S} s: it hangs",
    "garbage": "no safetensors message of ours",
    "error": "status 500: RuntimeError: out of memory",
    "too_few": r"completions each, expected \d+ with 4",
    "too_many": r"completions each, expected \d+ with 4",
    "empty": "has 0 tokens, expected 1 to 3",
    "long": "has 6 tokens, expected 1 to 3",
    "past_stop": "goes on after a stop token",
    "media": "holds the media token",
    "vocabulary": r"holds token .*1000000, expected 0\.\.",
    "nan": "1 not finite",
    "positive": "log-probability of 0.5, expected at most 0",
}


def recipe(tiny_model, rendered, output, server):
    """Three steps; each draws twice, because what a stand-in says is wrong and is drawn again with the instruction."""
    options = ["steps=3", "checkpoint_every=1", "uniform_weight=0.1", "engine.kind=server", "engine.max_mismatch=1000", "optim.lr=1e-5"]
    return config_of(tiny_model, rendered, output, *options, f"engine.servers=[{server.url}]", f"engine.deadline_s={DEADLINE_S}")


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def disturbed(tiny_model, rendered, tmp_path_factory):
    """A server, and a run of which one step is done and kept; the second step's first request was answered, its second was not."""
    with StandIn("dies", good=3) as server:
        config = recipe(tiny_model, rendered, tmp_path_factory.mktemp("faults") / "run", server)
        with pytest.raises(EngineError):
            grpo.run(config)
        assert len(server.requests) == 3
        yield server, config


def test_every_way_to_fail_is_tried():
    assert set(SAID) == set(MODES) - {"ok"}


@pytest.mark.parametrize("mode", SAID)
def test_a_server_that_fails_within_a_step_stops_the_run_and_costs_no_checkpoint(disturbed, mode):
    server, config = disturbed
    kept = Run.open(config.output).checkpoint_path(1)
    before, rows = digest(kept), Run.open(config.output).metrics()
    server._mode, server._good = mode, len(server.requests) + 1  # one good answer, then this
    began = time.monotonic()
    with pytest.raises(EngineError, match=SAID[mode]) as caught:
        grpo.run(config)
    assert time.monotonic() - began < 60
    assert caught.value.engine == server.url.replace("http://", "vllm server ")
    assert digest(kept) == before
    assert [path.name for path in sorted(kept.parent.iterdir())] == [kept.name]
    assert Run.open(config.output).metrics() == rows, "the step that was cut short wrote nothing"


def test_after_all_that_the_run_ends_as_one_that_was_never_disturbed(disturbed, tiny_model, rendered, tmp_path):
    server, config = disturbed
    server._mode = "ok"
    mended = grpo.run(config)
    assert mended.finished
    with StandIn() as other:
        whole = grpo.run(recipe(tiny_model, rendered, tmp_path / "whole", other))
    one, two = (load_file(run.folder / "model" / "model.safetensors") for run in (mended, whole))
    assert all(torch.equal(one[name], two[name]) for name in two)
    assert [row["grpo/loss"] for row in mended.metrics()] == [row["grpo/loss"] for row in whole.metrics()]
