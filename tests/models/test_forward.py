"""Every shortcut against the plain path: logits, loss and gradients in float32."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from videoperceiver.errors import ModelError
from videoperceiver.models import Backbone, TreeBuilder, forward
from videoperceiver.types import BLANK, Clip

ASKED = [("what colour is the flash ?", "red"), ("how many times ?", "one then three"), ("first", "green , blue"), ("is the flash red ?", "two")]
WORDS = sorted({word for texts in ASKED for text in texts for word in text.split()})
DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]
TOLERANCE = {"rtol": 1e-5, "atol": 5e-6}
"""float32: sums in another order."""
GRADIENTS = {"rtol": 1e-3, "atol": 2e-6}


def answered(backbone, clip, degraded=None):
    builder = TreeBuilder(backbone, clip, degraded)
    video = builder.video()
    for question, answer in ASKED:
        builder.answer(builder.question(video, question), answer)
    return builder


def degrade(clip, source):
    return Clip(np.concatenate([clip.frames, np.full_like(clip.frames[:1], 128)])[source], clip.t_s, clip.source)


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_logps_and_gradients_equal_one_row_a_branch(backbone, plain, make_clip, attention):
    backbone.attention = attention
    clips = [make_clip(0), make_clip(1, frames=7)]
    out = backbone([answered(backbone, clip, DEGRADED if len(clip) == 16 else None).tree() for clip in clips])
    expected = torch.cat([plain.logps(clip, *asked) for clip in clips for asked in ASKED])
    torch.testing.assert_close(out.logps, expected, **TOLERANCE)
    (-out.logps.mean()).backward()
    (-expected.mean()).backward()
    mine = dict(backbone.adapter.model.named_parameters())
    for name, weight in plain.model.named_parameters():
        if weight.grad is None:
            assert mine[name].grad is None or not mine[name].grad.any(), name
        else:
            torch.testing.assert_close(mine[name].grad, weight.grad, **GRADIENTS, msg=lambda text, name=name: f"{name}: {text}")


def test_questions_about_the_degraded_video_equal_the_plain_path_on_it(backbone, plain, make_clip):
    clip = make_clip()
    source = [0, 1, BLANK, 3, *[3] * 3, *range(7, 16)]
    builder = TreeBuilder(backbone, clip, source)
    on_video, on_degraded = builder.video(), builder.degraded()
    for parent in (on_video, on_degraded):
        for question, answer in ASKED:
            builder.answer(builder.question(parent, question), answer)
    with torch.no_grad():
        out = backbone([builder.tree()])
        expected = [plain.logps(shown, *asked) for shown in (clip, degrade(clip, source)) for asked in ASKED]
    torch.testing.assert_close(out.logps, torch.cat(expected), **TOLERANCE)


def test_early_exit_equals_hidden_states(backbone, plain, make_clip):
    clip, depth = make_clip(), backbone.adapter.min_depth + 1
    builder = answered(backbone, clip, DEGRADED)
    main = next(i for i, node in enumerate(builder._nodes) if node.patches is not None and node.parent == 0)
    builder._nodes[main].tap = True
    exits = [builder.degraded(depth, tap=True), builder.second_view(dropout=0.0, depth=depth), builder.text("flash ; red", depth=depth)]
    full = [builder.degraded(tap=True), builder.text("flash ; red")]
    with torch.no_grad():
        out = backbone([builder.tree()], [depth])
        both = [plain.model(**plain.inputs(shown, "what"), output_hidden_states=True).hidden_states[depth] for shown in (clip, degrade(clip, DEGRADED))]
        ids = torch.tensor(plain.processor.tokenizer("flash ; red<|im_end|>")["input_ids"])[None]
        keywords = plain.model(input_ids=ids, output_hidden_states=True).hidden_states[depth][0, -1]
    end = builder.video_tokens - 1
    rows = {tuple(index): row for index, row in zip(out.tap_index.tolist(), out.taps[depth], strict=True)}
    assert list(rows) == [(0, main), *((0, i) for i in exits), *((0, i) for i in full)]
    expected = [both[0][0, end], both[1][0, end], both[0][0, end], keywords, both[1][0, end], keywords]
    for row, wanted in zip(rows.values(), expected, strict=True):
        torch.testing.assert_close(row, wanted, rtol=1e-4, atol=1e-5)


def test_early_exits_leave_the_main_loss_and_its_gradient_alone(backbone, make_clip):
    depth = backbone.adapter.min_depth + 1
    gradients = []
    for extra in (False, True):
        builder = answered(backbone, make_clip(), DEGRADED)
        if extra:
            builder.degraded(depth, tap=True), builder.second_view(dropout=0.1, depth=depth), builder.text("flash ; red", depth=depth)
        backbone.zero_grad()
        backbone([builder.tree()], [depth]).logps.sum().backward()
        gradients.append([weight.grad.clone() for weight in backbone.parameters() if weight.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_one_tree_does_not_see_another(qwen, make_clip):
    alone = answered(qwen, make_clip(0)).tree()
    for other in (make_clip(1, frames=4), make_clip(2, frames=24, height=48)):
        with torch.no_grad():
            together = qwen([answered(qwen, other).tree(), alone, answered(qwen, other).tree()])
            expected = qwen([alone])
        torch.testing.assert_close(together.logps[together.node[:, 0] == 1], expected.logps, **TOLERANCE)


def test_distributions_are_the_log_softmax_at_the_targets(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    asked = builder.question(builder.video(), "what colour is the flash ?")
    builder.answer(asked, "green")
    node = builder.answer(asked, "red ; red", distribution=True)
    out = qwen([builder.tree()])
    rows = out.distributions[0, node]
    assert list(out.distributions) == [(0, node)]
    assert rows.shape == (4, len(qwen.tokenizer))
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(4))
    own = out.node[:, 1] == node
    ids = torch.tensor(qwen.encode_text("red ; red<|im_end|>"))
    torch.testing.assert_close(rows.gather(1, ids[:, None]).squeeze(1), out.logps[own], **TOLERANCE)
    torch.testing.assert_close(-(rows.exp() * rows).sum(-1), out.entropy[own], **TOLERANCE)
    assert rows.requires_grad
    assert not out.entropy.requires_grad


def test_chunked_scores_equal_unchunked(qwen, make_clip, monkeypatch):
    tree = answered(qwen, make_clip()).tree()
    whole = qwen([tree]).logps
    whole.sum().backward()
    gradient = qwen.adapter.decoder.get_input_embeddings().weight.grad.clone()
    qwen.zero_grad()
    monkeypatch.setattr(forward, "LOGITS_A_CHUNK", 3 * len(qwen.tokenizer))
    chunked = qwen([tree]).logps
    chunked.sum().backward()
    torch.testing.assert_close(chunked, whole, **TOLERANCE)
    torch.testing.assert_close(qwen.adapter.decoder.get_input_embeddings().weight.grad, gradient, **GRADIENTS)


def test_bfloat16_stays_near_float32(folders, family, make_clip):
    """Tolerance: 0.05 a log-probability (8 bits of mantissa through 4 blocks; about 0.01 is usual)."""
    clip, outputs = make_clip(), []
    for dtype in (torch.float32, torch.bfloat16):
        backbone = Backbone.load(folders[family], dtype=dtype)
        with torch.no_grad():
            outputs.append(backbone([answered(backbone, clip).tree()]).logps)
        assert backbone.adapter.decoder.layers[0].mlp.down_proj.weight.dtype == dtype
    assert outputs[1].dtype == torch.float32
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0.05)


def test_bfloat16_tree_is_as_near_to_the_plain_path_as_the_plain_path_is_to_float32(folders, make_clip):
    backbone = Backbone.load(folders["qwen2_5_vl"], dtype="bfloat16")
    clip = make_clip()
    with torch.no_grad():
        packed = backbone([answered(backbone, clip).tree()]).logps
        alone = []
        for question, answer in ASKED:
            builder = TreeBuilder(backbone, clip)
            builder.answer(builder.question(builder.video(), question), answer)
            alone.append(backbone([builder.tree()]).logps)
    torch.testing.assert_close(packed, torch.cat(alone), rtol=0, atol=0.05)


def test_dropout_of_the_second_view_acts_in_training_only(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    builder.video(tap=True), builder.second_view(dropout=0.5)
    tree = builder.tree()
    taps = qwen([tree], [2]).taps[2]
    torch.testing.assert_close(taps[0], taps[1])
    first, second = (qwen.train()([tree], [2]).taps[2] for _ in range(2))
    torch.testing.assert_close(first[0], taps[0])
    assert (first[1] - taps[0]).abs().max() > 1e-3
    assert (first[1] - second[1]).abs().max() > 1e-3


def test_nan_weights_name_the_sample(qwen, make_clip):
    with torch.no_grad():
        qwen.adapter.decoder.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    builder = answered(qwen, make_clip())
    builder.sample_id = "s17"
    with pytest.raises(ModelError, match=r"not finite in sample s17"):
        qwen([builder.tree()])


def test_impossible_requests_are_refused(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    asked = builder.question(builder.video(depth=2), "what")
    builder.answer(asked, "red")
    with pytest.raises(ValueError, match="has labels but leaves after block 2"):
        qwen([builder.tree()])
    builder = TreeBuilder(qwen, make_clip())
    builder.text("red", depth=1)
    builder.video()
    with pytest.raises(ValueError, match="tapped after block 3 but leaves after block 1"):
        qwen([builder.tree()], [3])
    builder = TreeBuilder(qwen, make_clip())
    builder.text("red", depth=9)
    with pytest.raises(ValueError, match="has 4 blocks"):
        qwen([builder.tree()])
    with pytest.raises(ValueError, match=r"got tap blocks \[5\], expected some of 1..4"):
        qwen([builder.tree()], [5])
    builder = TreeBuilder(qwen, make_clip())
    builder.text("red", depth=1)
    with pytest.raises(ValueError, match="tapped after block 2 but leaves after block 1"):
        qwen([builder.tree()], [2])


@st.composite
def branching(draw):
    """1-3 videos of 2-9 frames (odd and even), 1-20 branches in all, questions and answers of 1-200 words."""
    videos = []
    for seed in range(draw(st.integers(1, 3))):
        words = np.random.default_rng(draw(st.integers(0, 999)))
        lengths = draw(st.lists(st.tuples(st.integers(1, 12) | st.integers(1, 200), st.integers(1, 30)), min_size=1, max_size=6))
        branches = [tuple(" ".join(words.choice(WORDS, n)) for n in pair) for pair in lengths]
        videos.append((seed, draw(st.integers(2, 9)), branches, draw(st.booleans())))
    return videos


@given(videos=branching(), attention=st.sampled_from(["dense", "segments"]))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_trees_equal_the_plain_path(backbone, plain, make_clip, videos, attention):
    backbone.attention, trees, expected = attention, [], []
    with torch.no_grad():
        for seed, frames, branches, with_degraded in videos:
            clip = make_clip(seed, frames=frames)
            builder = TreeBuilder(backbone, clip, [0, *range(frames - 1)] if with_degraded and frames > 2 else None)
            video = builder.video()
            if with_degraded and frames > 2:
                builder.degraded(depth=backbone.adapter.min_depth)
            for question, answer in branches:
                builder.answer(builder.question(video, question), answer)
                expected.append(plain.logps(clip, question, answer))
            trees.append(builder.tree())
        torch.testing.assert_close(backbone(trees).logps, torch.cat(expected), rtol=1e-4, atol=2e-5)
