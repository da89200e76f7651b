"""The last block of nodes that leave, with as little as is read of it, against the same block in full."""

import pytest
import torch

from videoperceiver.models import Backbone, Lora, TreeBuilder

DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def grow(backbone, clip, depth, *, twin=True, gradient=True, view="features"):
    """Answers on V, and what leaves after `depth`: V', a second view, keywords."""
    builder = TreeBuilder(backbone, clip, DEGRADED if twin else None)
    video = builder.video(tap=True)
    for answer in ("red", "green ; blue"):
        builder.answer(builder.question(video, "what colour ?"), answer)
    if twin:
        builder.degraded(depth, tap=True)
    builder.second_view(dropout=0.0 if view == "features" else 0.4, depth=depth, gradient=gradient, where=view)
    builder.text("flash ; red", depth=depth)
    return builder.tree()


def tokens_of(backbone, block):
    """Lengths of what the block's MLP is asked, filled while it runs."""
    seen: list[int] = []
    backbone.adapter.decoder.layers[block].mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-1].numel()))
    return seen


def run(backbone, trees, depth, *taps):
    backbone.zero_grad()
    out = backbone(trees, [*taps, depth])
    (out.logps.sum() + sum(rows.square().sum() for rows in out.taps.values())).backward()
    return out, {name: weight.grad.clone() for name, weight in backbone.named_parameters() if weight.grad is not None}


def assert_same(one, other):
    for field in ("logps", "entropy", "node", "tap_index"):
        torch.testing.assert_close(getattr(one[0], field), getattr(other[0], field), **NEAR)
    for block, rows in other[0].taps.items():
        torch.testing.assert_close(one[0].taps[block], rows, **NEAR)
    assert one[1].keys() == other[1].keys()
    for name, gradient in other[1].items():
        torch.testing.assert_close(one[1][name], gradient, rtol=2e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_values_and_gradients_are_those_of_the_whole_block(folders, family, make_clip):
    """Dense attention runs every block in full; three families; a list of blocks; a clip without V'."""
    found = []
    for attention in ("dense", "segments"):
        backbone = Backbone.load(folders[family], freeze_vision=False, attention=attention)
        depth = backbone.adapter.min_depth + 1
        trees = [grow(backbone, make_clip(0), depth), grow(backbone, make_clip(1, frames=7), depth, twin=False), grow(backbone, make_clip(2), depth)]
        seen = tokens_of(backbone, depth - 1)
        found.append(run(backbone, trees, depth, 1))
        every, leave = (
            sum(tree.num_tokens for tree in trees),
            sum(int(tree.depth[i] == depth) * len(tree.nodes[i]) for tree in trees for i in range(len(tree.nodes))),
        )
    assert_same(*found)
    assert seen == [every - leave + 8], "all that stay, and the last token of V', view and keywords of two clips, of view and keywords of one"


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["full", "lora"])
def test_a_view_without_gradient_and_checkpointing(folders, make_clip, lora):
    found = []
    for attention in ("dense", "segments"):
        torch.manual_seed(0)
        backbone = Backbone.load(folders["qwen2_5_vl"], freeze_vision=lora is not None, gradient_checkpointing=True, attention=attention, lora=lora).train()
        trees = [grow(backbone, make_clip(seed), 3, gradient=False) for seed in (0, 1)]
        seen = tokens_of(backbone, 2)
        found.append(run(backbone, trees, 3))
    assert_same(*found)
    assert 2 in seen, "of the two views alone, only the last tokens"


def test_under_autocast_they_stay_as_near_as_bfloat16_is(folders, make_clip):
    """float32 weights, bfloat16 arithmetic, as a run alone or by DDP has it: 8 bits of mantissa, so 1 % of the states and gradients."""
    states, gradients = [], []
    for attention in ("dense", "segments"):
        backbone = Backbone.load(folders["qwen2_5_vl"], gradient_checkpointing=True, attention=attention).train()
        with torch.autocast("cpu", torch.bfloat16):
            out = backbone([grow(backbone, make_clip(), 3)], [3])
        (out.logps.sum() + out.taps[3].float().square().sum()).backward()
        states.append(out.taps[3].detach().float())
        gradients.append(torch.cat([weight.grad.flatten() for weight in backbone.parameters() if weight.grad is not None]))
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0.01 * states[0].abs().max().item())
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()


def test_dropout_of_attention_runs_the_block_in_full(folders, make_clip):
    """Its masks are drawn for whole nodes, as the plain model draws them."""
    backbone = Backbone.load(folders["qwen2_5_vl"], attention="segments").train()
    tree, seen = grow(backbone, make_clip(), 2, view="attention"), tokens_of(backbone, 1)
    backbone([tree], [2])
    backbone.eval()([tree], [2])
    assert seen[0] == tree.num_tokens
    assert seen[1] < tree.num_tokens


def test_concatenated_nodes_leave_as_well(folders, make_clip):
    """Keywords after V' after V: each sees all before it."""
    found = []
    for attention in ("dense", "segments"):
        backbone = Backbone.load(folders["qwen3_vl"], freeze_vision=False, attention=attention)
        depth = backbone.adapter.min_depth + 1
        builder = TreeBuilder(backbone, make_clip(), DEGRADED)
        video = builder.video(tap=True)
        builder.answer(builder.question(video, "what colour ?"), "red")
        builder.text("flash", parent=builder.degraded_after(video, depth, tap=True), depth=depth)
        found.append(run(backbone, [builder.tree()], depth))
    assert_same(*found)
