"""Counts against torch's own counter on the meta device, and the published sizes."""

import functools

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from videoperceiver.errors import ConfigError
from videoperceiver.models import flops
from videoperceiver.models.published import PUBLISHED, config_of, on_meta

built = functools.cache(lambda hub_id: on_meta(config_of(hub_id)))


@pytest.mark.parametrize(
    ("hub_id", "billions"), [("Qwen/Qwen2.5-VL-3B-Instruct", 3.75), ("Qwen/Qwen2.5-VL-7B-Instruct", 8.29), ("Qwen/Qwen3-VL-8B-Instruct", 8.77)]
)
def test_published_parameter_counts(hub_id, billions):
    model = built(hub_id)
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2) == billions
    assert all(weight.is_meta for weight in model.parameters())


def test_an_unknown_checkpoint_is_refused():
    with pytest.raises(ConfigError, match="are known here"):
        config_of("Qwen/Qwen9")


def counted(call):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        call()
    return counter.get_total_flops()


@pytest.mark.parametrize("hub_id", PUBLISHED)
def test_language_equals_the_counter(hub_id):
    config = config_of(hub_id)
    model, length = built(hub_id), 128
    hidden = torch.empty(1, length, config.get_text_config().hidden_size, device="meta")
    positions = torch.arange(length).expand(3, 1, -1).to("meta")
    blocks = counted(lambda: model.model.language_model(inputs_embeds=hidden, position_ids=positions, use_cache=False))
    head = counted(lambda: model.lm_head(hidden))
    mine = flops.language(config, length, length * length, length)  # the counter counts masked pairs too
    assert mine.language == pytest.approx(blocks, rel=1e-3)
    assert mine.head == head


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"], indirect=True)
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (12, 20), (6, 14)])
def test_vision_equals_the_counter(plain, rows, columns):
    tower = plain.model.model.visual
    pixels = torch.zeros(2 * rows * columns, 3 * 2 * 8 * 8)
    total = counted(lambda: tower(pixels, grid_thw=torch.tensor([[2, rows, columns]])))
    assert flops.vision(plain.model.config, rows, columns, 2).vision == pytest.approx(total, rel=1e-3)


def test_pairs_of_a_small_tree_by_hand():
    # 3 tokens, two branches of 2: 6 + 2 x (3 + 2 x 3)
    assert flops.pairs([(3, -1), (2, 0), (2, 0)]) == 24
    assert flops.pairs([(5, -1)]) + flops.pairs([(5, -1)]) == 30


def test_a_step_is_three_forwards_of_what_is_trained():
    forward = flops.Flops(10.0, 5.0, 1.0)
    assert (forward.step(), forward.step(train_vision=True), forward.step(checkpointing=True)) == (28.0, 48.0, 33.0)
    assert forward.step(low_rank=True) == 22.0  # 16 forward, 6 backward
    assert forward.step(train_vision=True, checkpointing=True) == 63.0  # the trained tower is computed again too
    assert flops.Flops(10.0, 5.0, 1.0, 4.0, 2.0).step(train_vision=True, checkpointing=True) == 57.0  # but for what runs once
    assert forward + forward - forward == forward
    assert (forward.only("vision") + forward.only("language")) * 2 == flops.Flops(20.0, 10.0, 2.0)


def test_checkpointing_stops_before_each_blocks_last_projection():
    """What it runs again, by torch's own counter, on a small model of the true code."""
    config = config_of("Qwen/Qwen2.5-VL-3B-Instruct")
    model, length = built("Qwen/Qwen2.5-VL-3B-Instruct").model.language_model, 64
    blocks = model.layers[:2]
    found = []
    for again in (False, True):
        for block in blocks:
            block.gradient_checkpointing, block._gradient_checkpointing_func = again, functools.partial(checkpoint, use_reentrant=False)
        hidden = torch.zeros(1, length, config.get_text_config().hidden_size, device="meta", requires_grad=True, dtype=blocks[0].mlp.down_proj.weight.dtype)
        places = model.rotary_emb(hidden, torch.zeros(3, 1, length, dtype=torch.long, device="meta"))

        @torch.enable_grad()
        def step(hidden=hidden, places=places):
            out = hidden
            for block in blocks.train():
                out = block(out, attention_mask=None, position_embeddings=places)
            out.sum().backward()

        with sdpa_kernel(SDPBackend.MATH):
            found.append(counted(step))
    share = len(blocks) / config.get_text_config().num_hidden_layers
    mine = flops.language(config, length, length * length, 0)
    assert found[1] - found[0] == pytest.approx(share * (mine.language - mine.language_once), rel=0.01)


def test_a_node_that_leaves_halfway_costs_half():
    config = config_of("Qwen/Qwen2.5-VL-7B-Instruct")  # 28 blocks
    runs, where = [(100, -1), (20, 0), (50, 0)], {"grid": (4, 4), "patches": 1, "scored": 0}
    whole = flops.tree(config, runs, **where).language
    trunk = flops.tree(config, runs[:2], **where).language
    assert flops.tree(config, runs, depths=[None, None, 14], short_exits=False, **where).language == pytest.approx(trunk + (whole - trunk) / 2)
    assert flops.tree(config, runs, depths=[None, 28, 99], **where).language == whole


def test_the_last_block_of_a_node_that_leaves_by_hand():
    config = config_of("Qwen/Qwen2.5-VL-7B-Instruct")
    runs, where = [(100, -1), (50, 0)], {"grid": (4, 4), "patches": 1, "scored": 0}
    trunk = flops.tree(config, runs[:1], **where).language
    block = 3584 * (2 * 3584 + 2 * 512) + 3 * 3584 * 18944  # weights
    keys = 3584 * 2 * 512
    pairs = 50 * 100 + 50 * 51 // 2
    thirteen = 13 * (2 * block * 50 + 4 * 3584 * pairs)
    last = 2 * keys * 49 + 2 * block + 4 * 3584 * 150  # one token asks, and sees 150
    assert flops.tree(config, runs, depths=[None, 14], **where).language == pytest.approx(trunk + thirteen + last, rel=1e-9)
