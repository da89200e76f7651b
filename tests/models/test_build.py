"""Trees spelled as the processor spells them: tokens, positions, times; and what is refused."""

import itertools
import logging

import numpy as np
import pytest
import torch

from videoperceiver.errors import BudgetError, ModelError, SampleError
from videoperceiver.models import Backbone, TreeBuilder
from videoperceiver.types import BLANK, Clip


def branch(backbone, clip, question, answer=""):
    """Tokens and positions of the path root -> answer."""
    builder = TreeBuilder(backbone, clip)
    leaf = builder.question(builder.video(), question)
    leaf = builder.answer(leaf, answer) if answer else leaf
    tree = builder.tree()
    nodes = [tree.nodes[i] for i in tree.path(leaf)]
    return np.concatenate([node.input_ids for node in nodes]), np.concatenate([node.positions for node in nodes], axis=1)


def test_tokens_and_positions_equal_processor_and_model(backbone, plain, make_clip):
    for fps, frames in itertools.product((1, 2, 3, 4, 25, 2.5, 29.97, 0.3), (2, 7, 16)):
        clip = make_clip(frames=frames, height=48, fps=fps)
        ids, positions = branch(backbone, clip, "what colour is the flash ?", "red")
        inputs = plain.inputs(clip, "what colour is the flash ?", "red", fps=fps)
        assert ids.tolist() == inputs["input_ids"][0].tolist(), (fps, frames)
        if hasattr(plain.model.model, "get_rope_index"):
            pixels = ("pixel_values_videos", "attention_mask")
            expected, _ = plain.model.model.get_rope_index(**{key: value for key, value in inputs.items() if key not in pixels})
            assert positions.tolist() == expected[:, 0].tolist(), (fps, frames)
        else:
            assert positions.tolist() == [list(range(len(ids)))] * 3


def test_frames_are_resized_as_the_processor_does(backbone, plain, make_clip):
    clip = make_clip(height=41, width=71)
    builder = TreeBuilder(backbone, clip)
    builder.answer(builder.question(builder.video(), "what"), "red")
    with torch.no_grad():
        torch.testing.assert_close(backbone([builder.tree()]).logps, plain.logps(clip, "what", "red"), rtol=1e-4, atol=1e-5)


def test_v_prime_shares_tokens_up_to_its_first_changed_patch(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip(), [0, 1, 2, 3, 4, 4, 4, *range(7, 16)])
    video, degraded = builder.video(), builder.degraded(depth=2)
    tree = builder.tree()
    assert [node.parent for node in tree.nodes] == [-1, 0, 0]
    assert tree.nodes[0].patches.tolist() == [0, 1]
    assert tree.nodes[video].patches.tolist() == [2, 3, 4, 5, 6, 7]
    assert tree.nodes[degraded].patches.tolist() == [8, 9, 4, 5, 6, 7]
    assert tree.patches[8:] == [(4, 4), (4, 7)]
    assert tree.nodes[video].input_ids.tolist() == tree.nodes[degraded].input_ids.tolist()
    assert tree.depth.tolist() == [1 << 30, 1 << 30, 2]


def test_a_change_in_the_first_patch_shares_the_header_only(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip(), [2, 2, *range(2, 16)])
    builder.video(), builder.degraded()
    tree = builder.tree()
    assert len(tree.nodes[0].patches) == 0
    assert len(tree.nodes[1].patches) == len(tree.nodes[2].patches) == 8


def test_a_shared_prefix_leaves_with_the_deeper_of_its_videos(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip(), [0, 0, 1, *range(3, 16)])
    builder.video(depth=1), builder.degraded(depth=2)
    assert builder.tree().depth.tolist() == [2, 1, 2]


def test_blank_frames_are_grey(qwen, make_clip):
    clip = make_clip()
    builder = TreeBuilder(qwen, clip, [BLANK] * 16)
    builder.degraded()
    tree = builder.tree()
    assert tree.frames.shape[0] == 17
    assert (tree.frames[16] == 128).all()
    assert tree.patches[-1] == (16, 16)
    assert (clip.frames[-1] != 128).any()


def test_nothing_replaced_makes_no_v_prime(qwen, make_clip):
    for degraded in (None, range(16)):
        builder = TreeBuilder(qwen, make_clip(), degraded, sample_id="s3")
        builder.video()
        with pytest.raises(SampleError, match=r"sample 's3'.*at least one replaced frame"):
            builder.degraded()


@pytest.mark.parametrize("degraded", [[0] * 15, [16] * 16, [-2] * 16])
def test_degraded_frames_must_exist(qwen, make_clip, degraded):
    with pytest.raises(SampleError, match=r"expected \(16,\) in -1..15"):
        TreeBuilder(qwen, make_clip(), degraded)


def test_an_instruction_follows_the_question(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    video = builder.video()
    plain, told = builder.question(video, "what colour"), builder.question(video, "what colour", "look again .")
    tree = builder.tree()
    words = qwen.tokenizer.convert_ids_to_tokens(tree.nodes[told].input_ids)
    assert words == ["what", "colour", "look", "again", ".", "<|im_end|>", "<|im_start|>", "assistant"]
    assert qwen.tokenizer.convert_ids_to_tokens(tree.nodes[plain].input_ids) == [*words[:2], *words[5:]]


def test_a_completion_is_taken_as_it_is(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    asked = builder.question(builder.video(), "what")
    cut = builder.answer(asked, [20, 21])
    spoken = builder.answer(asked, "red", train=False)
    tree = builder.tree()
    assert tree.nodes[cut].input_ids.tolist() == tree.nodes[cut].labels.tolist() == [20, 21]
    assert tree.nodes[spoken].input_ids[-1] == qwen.tokenizer.eos_token_id
    assert tree.nodes[spoken].labels is None
    with pytest.raises(SampleError, match="answer of no tokens"):
        builder.answer(asked, [])


def test_an_unknown_word_is_named(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    with pytest.raises(ModelError, match="the word 'xylophone' is not in the tokenizer's vocabulary"):
        builder.question(builder.video(), "what colour is the xylophone ?")


def test_budgets_are_refused_with_the_numbers(qwen, make_clip, folders, tmp_path):
    with pytest.raises(BudgetError, match=r"sample 's9': its video of 16 frames of \(32, 32\) px makes 36 tokens, expected at most 30"):
        TreeBuilder(qwen, make_clip(), sample_id="s9", max_tokens=30)
    builder = TreeBuilder(qwen, make_clip(), sample_id="s9", max_tokens=42)
    with pytest.raises(BudgetError, match=r"its branch of 8 tokens makes 44 tokens, expected at most 42"):
        builder.question(builder.video(), "what colour is the flash")
    from videoperceiver.lab.backbone import build_tiny

    short = Backbone.load(build_tiny(tmp_path, ["red"], context=24))
    builder = TreeBuilder(short, make_clip(), sample_id="s9")
    with pytest.raises(BudgetError, match=r"sample 's9': its branch of 30 tokens reaches position 40, the model's context is 24"):
        builder.answer(builder.question(builder.video(), "red"), "red " * 29)


def spaced(make_clip, t_s):
    clip = make_clip(frames=len(t_s))
    return Clip(clip.frames, np.asarray(t_s, dtype=float), "uneven")


def test_uneven_times_are_reported_and_may_be_kept(folders, make_clip, caplog):
    clip = spaced(make_clip, [0, 0.5, 1, 1.5, 5, 5.5, 9, 9.5])
    told = Backbone.load(folders["qwen2_5_vl"])
    with caplog.at_level(logging.WARNING):
        _, even = branch(told, clip, "what")
        branch(told, clip, "what")
    assert len(caplog.records) == 1
    assert "1 to 4 s apart but the model is told the mean, 3 s; video_times=clip" in caplog.text
    caplog.clear()
    kept = Backbone.load(folders["qwen2_5_vl"], video_times="clip")
    _, uneven = branch(kept, clip, "what")
    assert caplog.records == []
    assert (even[0, 3:19:4] - even[0, 3]).tolist() == [0, 6, 12, 18]
    assert (uneven[0, 3:19:4] - uneven[0, 3]).tolist() == [0, 2, 10, 18]
    assert (even[1:] == uneven[1:]).all()


def test_times_too_dense_for_the_grid_are_reported(folders, make_clip, caplog):
    with caplog.at_level(logging.WARNING):
        _, positions = branch(Backbone.load(folders["qwen2_5_vl"]), make_clip(fps=8), "what")
    assert "sample at most 4 fps to keep them apart" in caplog.text
    assert (positions[0, 3:35:4] - 3).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        branch(Backbone.load(folders["qwen3_vl"]), make_clip(fps=50), "what")
    assert "8 patches have only" in caplog.text


def test_qwen3_is_told_the_clips_own_times(folders, make_clip):
    backbone = Backbone.load(folders["qwen3_vl"])
    ids, _ = branch(backbone, spaced(make_clip, [10, 10.4, 12, 12.6]), "what")
    assert [word for word in backbone.tokenizer.convert_ids_to_tokens(ids) if word.startswith("<1")] == ["<10.2", "<12.3"]


def test_internvl_says_that_it_cannot_be_told_times(folders, make_clip, caplog):
    with caplog.at_level(logging.WARNING):
        branch(Backbone.load(folders["internvl"]), make_clip(), "what")
    assert "cannot say when they were shown" in caplog.text


def test_one_frame_is_a_video_for_qwen2_5_and_refused_by_qwen3(folders, make_clip):
    ids, _ = branch(Backbone.load(folders["qwen2_5_vl"]), make_clip(frames=1), "what")
    assert len(ids) == 3 + 4 + 1 + 4
    with pytest.raises(SampleError, match="the processor cannot use 1 frames of 32x32 px"):
        branch(Backbone.load(folders["qwen3_vl"]), make_clip(frames=1), "what")
