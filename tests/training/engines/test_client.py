"""The trainer's side of rollout servers, against a stand-in that can misbehave; no vLLM."""

import time

import numpy as np
import pytest
import torch
from tests.training.engines.prompts import grow, shake
from tests.training.engines.standin import StandIn

from videoperceiver.errors import ConfigError, EngineError
from videoperceiver.models import Backbone
from videoperceiver.models.lora import Lora
from videoperceiver.stages import RolloutEngineConfig
from videoperceiver.training.engines import weights
from videoperceiver.training.engines.client import ServerEngine
from videoperceiver.training.engines.opening import open_engine

DRAW = {"num_generations": 3, "max_new_tokens": 4, "seed": 7}


@pytest.fixture(scope="module")
def backbone(tiny_model):
    return Backbone.load(tiny_model)


@pytest.fixture(scope="module")
def asked(backbone):
    return grow(backbone, num_clips=3)


def engine_of(backbone, *servers, deadline_s=20.0, **kwargs):
    return ServerEngine([server.url for server in servers], backbone, deadline_s, **kwargs)


def test_completions_come_back_by_tree_leaf_and_generation(backbone, asked):
    with StandIn() as server:
        engine = open_engine(RolloutEngineConfig(kind="server", servers=[server.url], deadline_s=20), backbone)
        drawn = engine.sample(*asked, **DRAW)
        again = engine.sample(*asked, **DRAW)
        engine.close()
    assert [[len(own) for own in tree] for tree in drawn] == [[3] * 4] * 3
    completion = drawn[1][2][0]
    assert completion.finished
    assert completion.text == backbone.tokenizer.decode(completion.token_ids[:-1])
    assert completion.logps.dtype == np.float32
    assert (completion.token_ids == again[1][2][0].token_ids).all()
    assert (completion.token_ids != drawn[1][3][0].token_ids).any()


def test_a_leaf_with_its_own_seed_does_not_depend_on_its_company(backbone, asked):
    trees, leaves = asked
    seeds = [[10 * b + i for i in range(4)] for b in range(3)]
    with StandIn() as server:
        engine = engine_of(backbone, server)
        together = engine.sample(trees, leaves, **{**DRAW, "seed": seeds})
        alone = engine.sample(trees[1:2], [leaves[1][2:3]], **{**DRAW, "seed": [[seeds[1][2]]]})
    assert (together[1][2][1].token_ids == alone[0][0][1].token_ids).all()


def test_the_engine_is_told_what_the_trainer_sees(backbone, asked):
    trees, leaves = asked
    with StandIn() as server:
        engine_of(backbone, server).sample(trees, leaves, **DRAW)
    (request,) = server.requests
    assert len(request.videos) == 6  # V and V' of three clips, each once for its two questions
    assert [p.video for p in request.prompts[:4]] == [0, 1, 0, 1]
    full, degraded = request.videos[:2]
    assert full.frames.shape == (16, 32, 64, 3)  # 15 frames, the last one twice
    assert full.grid_thw == (8, 4, 8)
    assert full.second_per_grid == 0.5  # two frames at 4 fps
    assert (full.frames[6] != degraded.frames[6]).any()
    assert (degraded.frames[6] == full.frames[5]).all()
    assert (request.videos[3].frames[14:] == 128).all()  # BLANK
    prompt = request.prompts[1]
    path = trees[0].path(leaves[0][1])
    assert (prompt.spelled == np.concatenate([trees[0].nodes[n].input_ids for n in path])).all()
    assert (prompt.positions == np.concatenate([trees[0].nodes[n].positions for n in path], 1)).all()
    pad = backbone.adapter.video_token_id
    assert (prompt.ids == pad).sum() == 1
    assert (prompt.spelled == pad).sum() == 8 * 8
    assert (prompt.ids[prompt.ids != pad] == prompt.spelled[prompt.spelled != pad]).all()


def test_what_changed_is_sent_and_no_more(tiny_model):
    policy = Backbone.load(tiny_model)
    with StandIn() as server:
        engine = engine_of(policy, server)
        engine.sync(policy)
        everything = {name for part in server.parts for name in part.tensors}
        server.parts.clear()
        shake(policy, 0.1, 0)
        engine.sync(policy)
    assert everything == set(dict(policy.adapter.model.named_parameters()))
    sent = {name: tensor for part in server.parts for name, tensor in part.tensors.items()}
    assert sent
    assert not [name for name in sent if "visual" in name]  # the tower is frozen
    for name, tensor in sent.items():
        assert torch.equal(tensor, policy.adapter.model.get_parameter(name)), name
    assert server.version == engine._version == 2


def test_lora_sends_the_adapter_alone(tiny_model):
    policy = Backbone.load(tiny_model, lora=Lora(rank=4))
    with StandIn(lora_rank=4) as server:
        engine = engine_of(policy, server)
        engine.sync(policy)
        first = list(server.parts)
        server.parts.clear()
        engine.sync(policy)
    assert [part.adapter is None for part in first] == [True, False]
    assert not [name for name in first[0].tensors if "lora" in name or "base_layer" in name]
    (part,) = server.parts
    assert part.adapter["r"] == 4
    assert all("lora_" in name for name in part.tensors)
    assert sum(t.numel() for t in part.tensors.values()) == sum(p.numel() for p in policy.parameters() if p.requires_grad)


def test_large_weights_travel_in_parts(backbone):
    named = [(f"w{i}", torch.zeros(100)) for i in range(5)]
    assert [list(part) for part in weights.parts(named, limit_bytes=900)] == [["w0", "w1"], ["w2", "w3"], ["w4"]]
    assert [list(part) for part in weights.parts(named[:2], limit_bytes=10)] == [["w0"], ["w1"]]
    assert list(weights.parts([])) == []


def test_trees_are_dealt_to_all_servers_of_a_rank(backbone, asked):
    with StandIn() as one, StandIn() as two:
        engine = engine_of(backbone, one, two)
        engine.sync(backbone)
        drawn = engine.sample(*asked, **DRAW)
    assert [len(server.requests[0].prompts) for server in (one, two)] == [8, 4]
    assert one.version == two.version == 1
    assert [len(tree) for tree in drawn] == [4, 4, 4]


def test_ranks_share_servers_and_the_first_of_each_hands_the_weights_over(backbone, asked):
    with StandIn() as one, StandIn() as two:
        engines = [engine_of(backbone, one, two, rank=rank, world_size=3) for rank in range(3)]
        for engine in engines:
            engine.sync(backbone)
        for engine in engines:
            engine.sample(*asked, **DRAW)
    assert [len(server.requests) for server in (one, two)] == [2, 1]
    assert [sum(part.last for part in server.parts) for server in (one, two)] == [1, 1]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("dies", r"/sample failed \(.*\): it died, or is no rollout server"),
        ("error", "status 500: RuntimeError: out of memory"),
        ("garbage", "no safetensors message of ours"),
        ("too_few", r"got 12 prompts with \[2\] completions each, expected 12 with 3"),
        ("too_many", r"got 12 prompts with \[4\] completions each, expected 12 with 3"),
        ("empty", "completion 0 has 0 tokens, expected 1 to 4"),
        ("long", "completion 0 has 8 tokens, expected 1 to 4"),
        ("past_stop", "completion 0 goes on after a stop token"),
        ("media", "completion 0 holds the media token"),
        ("vocabulary", "holds token .*1000000, expected 0"),
        ("nan", "1 not finite"),
        ("positive", "log-probability of 0.5, expected at most 0"),
    ],
)
def test_misbehaviour_is_told_by_the_servers_name(backbone, asked, mode, message):
    with StandIn(mode) as server:
        engine = engine_of(backbone, server)
        with pytest.raises(EngineError, match=message) as caught:
            engine.sample(*asked, **DRAW)
    assert caught.value.engine == server.url.replace("http://", "vllm server ")


@pytest.mark.parametrize("mode", ["hangs", "trickles"])
def test_a_hanging_server_meets_the_deadline(backbone, asked, mode):
    with StandIn(mode) as server:
        engine = engine_of(backbone, server, deadline_s=0.5)
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"no answer to /sample within 0.5 s: it hangs, or needs a larger engine.deadline_s"):
            engine.sample(*asked, **DRAW)
    assert time.monotonic() - began < 5


def test_nobody_there():
    with StandIn() as gone:
        pass
    with pytest.raises(EngineError, match=r"nothing listens there after 0.2 s .* start it with python -m videoperceiver.training.engines.vllm_server"):
        ServerEngine([gone.url], None, 0.2)  # pyright: ignore[reportArgumentType]


def test_another_kind_of_server(backbone, monkeypatch):
    with StandIn() as server:
        monkeypatch.setattr(StandIn, "health", lambda self: {"object": "list", "data": []})
        with pytest.raises(EngineError, match="expected a rollout server of protocol 1"):
            engine_of(backbone, server)


def test_a_server_for_smaller_adapters_is_refused(tiny_model):
    policy = Backbone.load(tiny_model, lora=Lora(rank=8))
    with StandIn(lora_rank=4) as server, pytest.raises(EngineError, match="up to rank 4, the policy's has 8; start the server with --lora-rank 8"):
        engine_of(policy, server)


def test_weights_travel_in_the_engines_type(tiny_model):
    policy = Backbone.load(tiny_model)
    with StandIn(dtype="bfloat16") as server:
        with pytest.raises(EngineError, match=r"computes in bfloat16, the recipe's model.dtype is float32; start the server with --dtype float32"):
            engine_of(policy, server)
        engine_of(policy, server, dtype="bfloat16").sync(policy)
    sent = {name: tensor for part in server.parts for name, tensor in part.tensors.items()}
    assert {tensor.dtype for tensor in sent.values()} == {torch.bfloat16}


@pytest.mark.parametrize("url", ["127.0.0.1:8100", "https://host:1", "http://user:secret@host:1", "http://host:1/v1"])
def test_urls_are_plain(url):
    with pytest.raises(ConfigError, match="expected http://host:port"):
        ServerEngine([url], None, 1.0)  # pyright: ignore[reportArgumentType]


def test_a_server_must_be_named(backbone):
    with pytest.raises(ConfigError, match=r"engine.servers is empty"):
        open_engine(RolloutEngineConfig(kind="server"), backbone)
