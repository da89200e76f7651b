"""vLLM for real, on the CPU: a rollout server in its own environment against the tree generator. Set-up: docs/rollout-engines.md."""

import json
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.engines.family import children_of
from tests.training.engines.prompts import grow, shake
from tests.training.engines.test_vllm_stage import GREEDY as GREEDY_RUN
from tests.training.engines.test_vllm_stage import SAMPLED as SAMPLED_RUN
from tests.training.engines.test_vllm_stage import assert_same_training
from tests.training.engines.vllm_process import Running, free_port, interpreter, running
from tests.training.groups import config_of

from videoperceiver.errors import EngineError
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.models import Backbone, TreeBuilder, generate
from videoperceiver.models.lora import Lora
from videoperceiver.training import grpo
from videoperceiver.training.engines.client import ServerEngine
from videoperceiver.training.engines.exchange import sample_request
from videoperceiver.types import Clip

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
GREEDY = {"num_generations": 2, "max_new_tokens": 12, "temperature": 0.0, "seed": 0}
SAMPLED = {"num_generations": 4, "max_new_tokens": 8, "temperature": 1.0, "seed": 1}


@dataclass
class Served:
    """A rollout server of one checkpoint."""

    folder: Path
    url: str
    lora: Lora | None
    process: Running

    def policy(self) -> Backbone:
        return Backbone.load(self.folder, lora=self.lora, freeze_vision=self.lora is not None)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl", "lora"])
def served(request, tmp_path_factory):
    interpreter()
    family, lora = ("qwen2_5_vl", Lora(rank=4)) if request.param == "lora" else (request.param, None)
    folder = build_tiny(tmp_path_factory.mktemp(request.param) / "tiny", VOCABULARY, family=family)
    port = free_port()
    options = ["--port", str(port), "--dtype", "float32", "--max-model-len", "2048", "--eager", "--lora-rank", "4" if lora else "0"]
    command = ["-m", "videoperceiver.training.engines.vllm_server", str(folder), *options]
    with running(command, folder.parent / "server.log", "serving ") as process:
        yield Served(folder, f"http://127.0.0.1:{port}", lora, process)


@pytest.fixture
def policy(served):
    return served.policy()


def engine_of(served, policy, deadline_s=180.0):
    engine = ServerEngine([served.url], policy, deadline_s)
    engine.sync(policy)
    return engine


def tokens(drawn):
    return [[[c.token_ids.tolist() for c in leaf] for leaf in tree] for tree in drawn]


def test_greedy_tokens_are_the_trees_before_and_after_updates(served, policy):
    trees, leaves = grow(policy)
    shake(policy, 0.15, 0)
    engine = engine_of(served, policy)
    seen = []
    for update in range(3):
        drawn, expected = engine.sample(trees, leaves, **GREEDY), generate(policy, trees, leaves, **GREEDY)
        assert tokens(drawn) == tokens(expected), f"after {update} updates"
        for tree, same in zip(drawn, expected, strict=True):
            for leaf, its in zip(tree, same, strict=True):
                assert np.abs(leaf[0].logps - its[0].logps).max() < 1e-3
        seen.append(json.dumps(tokens(drawn)))
        shake(policy, 0.1, update + 1)
        engine.sync(policy)
    assert len(set(seen)) == 3  # each update changed what is drawn
    assert tokens(drawn)[0][0] != tokens(drawn)[0][1]  # V and V' are different prompts


def test_sampled_log_probabilities_are_the_trainers(served, policy):
    """Teacher-forced in the packed tree, as the update computes them."""
    trees, leaves = grow(policy)
    shake(policy, 0.15, 0)
    drawn = engine_of(served, policy).sample(trees, leaves, **SAMPLED)
    flat = [c for tree in drawn for leaf in tree for c in leaf]
    assert len({tuple(c.token_ids.tolist()) for c in flat}) > len(flat) / 2
    with torch.no_grad():
        for tree, own, completions in zip(trees, leaves, drawn, strict=True):
            logps = policy([answered(tree, own, completions)]).logps.numpy()
            got = np.concatenate([c.logps for leaf in completions for c in leaf])
            assert np.abs(logps - got).max() < 1e-3


def answered(tree, leaves, completions):
    from videoperceiver.models.tree import Node, Tree

    nodes = [*tree.nodes, *(Node(c.token_ids, leaf, labels=c.token_ids) for leaf, own in zip(leaves, completions, strict=True) for c in own)]
    return Tree(nodes, tree.frames, tree.t_s, tree.patches)


def test_full_weights_after_an_adapter_are_alone(served, policy):
    """A server that a LoRA run has left is given another run's weights."""
    trees, leaves = grow(policy, num_clips=1)
    shake(policy, 0.15, 0)
    engine_of(served, policy)
    plain = Backbone.load(served.folder, freeze_vision=False)
    shake(plain, 0.15, 3)
    drawn = engine_of(served, plain).sample(trees, leaves, **GREEDY)
    assert tokens(drawn) == tokens(generate(plain, trees, leaves, **GREEDY))


def test_the_same_seed_draws_the_same(served, policy):
    trees, leaves = grow(policy)
    engine = engine_of(served, policy)
    first, second = engine.sample(trees, leaves, **SAMPLED), engine.sample(trees, leaves, **SAMPLED)
    assert tokens(first) == tokens(second)
    assert tokens(engine.sample(trees, leaves, **{**SAMPLED, "seed": 2})) != tokens(first)
    alone = engine.sample(trees[:1], [leaves[0][1:2]], **{**SAMPLED, "seed": [[5]]})
    together = engine.sample(trees, leaves, **{**SAMPLED, "seed": [[4, 5, 6, 7], [8, 9, 10, 11]]})
    assert tokens(alone)[0][0] == tokens(together)[0][1]


def test_media_tokens_are_never_drawn(served, policy):
    """Each is made ten times as likely (in logits) as the best other token, so that only suppression keeps it out."""
    trees, leaves = grow(policy, num_clips=1)
    shake(policy, 0.15, 0)
    best = int(generate(policy, trees, leaves, **GREEDY)[0][0][0].token_ids[0])
    with torch.no_grad():
        table = policy.adapter.decoder.get_input_embeddings().weight
        table[policy.adapter.media_ids] = 10 * table[best]
    engine = ServerEngine([served.url], policy, 180)  # a new one sends everything, with LoRA too
    engine.sync(policy)
    drawn, expected = engine.sample(trees, leaves, **GREEDY), generate(policy, trees, leaves, **GREEDY)
    assert tokens(drawn) == tokens(expected)
    assert drawn[0][0][0].logps[0] < -2  # suppressed, yet told as the plain model sees it


def test_another_grid_other_times_another_spelling_and_a_prompt_too_long_are_refused(served, policy):
    trees, leaves = grow(policy, num_clips=1)
    engine = engine_of(served, policy)
    (remote,) = engine.remotes
    request = sample_request(policy, trees, leaves, **GREEDY, top_p=1.0, version=engine._version)
    video = request.videos[0]
    wrong = replace(video, grid_thw=(8, 8, 8))
    with pytest.raises(EngineError, match=r"makes video_grid_thw \(8, 4, 8\) of frames \(16, 32, 64, 3\), the trainer's is \(8, 8, 8\)"):
        remote.post("/sample", replace(request, videos=[wrong, *request.videos[1:]]).to_bytes())
    if video.second_per_grid is not None:
        wrong = replace(video, metadata={**video.metadata, "fps": 8.0})
        with pytest.raises(EngineError, match=r"second_per_grid_ts 0.25, the trainer's is 0.5"):
            remote.post("/sample", replace(request, videos=[wrong, *request.videos[1:]]).to_bytes())
    prompt = replace(request.prompts[0], spelled=request.prompts[0].spelled[:-1])
    with pytest.raises(EngineError, match="they differ from token"):
        remote.post("/sample", replace(request, prompts=[prompt]).to_bytes())
    builder = TreeBuilder(policy, Clip(trees[0].frames, trees[0].t_s, "long"))
    leaf = builder.question(builder.video(), "red " * 2100)
    with pytest.raises(EngineError, match="maximum context length is 2048 tokens"):
        engine.sample([builder.tree()], [[leaf]], **GREEDY)
    assert engine.sample(trees, leaves, **GREEDY)  # and goes on


def test_weights_of_another_run_are_noticed(served, policy):
    trees, leaves = grow(policy, num_clips=1)
    engine, other = engine_of(served, policy), engine_of(served, policy)
    other.sync(policy)
    with pytest.raises(EngineError, match="the server was restarted, or serves another run too"):
        engine.sample(trees, leaves, **GREEDY)


def test_stage_2_runs_on_it(served, rendered, tmp_path):
    """Two steps through the stage itself: with sampling the mismatch is logged and small; greedy, it ends where the tree engine's run ends."""
    lora = [f"model.lora_rank={served.lora.rank}"] if served.lora else []
    engine = ["engine.kind=server", f"engine.servers=[{served.url}]"]
    run = grpo.run(config_of(served.folder, rendered, tmp_path / "sampled", *SAMPLED_RUN, *engine, *lora))
    assert [0 <= row["grpo/mismatch"] < 1e-3 for row in run.metrics()] == [True, True]
    for name, more in (("tree", []), ("server", engine)):
        grpo.run(config_of(served.folder, rendered, tmp_path / name, *GREEDY_RUN, *lora, *more))
    assert_same_training(served.folder, tmp_path / "tree", tmp_path / "server")


def test_a_server_that_hangs_and_one_that_dies(served, policy):
    """The last test of each server: it does not survive."""
    trees, leaves = grow(policy, num_clips=1)
    engine = engine_of(served, policy)
    engine.remotes[0].deadline_s = 2.0
    pid = served.process.pid
    assert children_of(pid) == []  # vLLM's core is in this very process: there is nothing to leave behind
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineError, match="no answer to /sample within 2 s"):
        engine.sample(trees, leaves, **GREEDY)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="it died, or is no rollout server"):
        engine.sample(trees, leaves, **GREEDY)
