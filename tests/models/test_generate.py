"""Generation from a tree against transformers' generate, and against a recomputation through the forward."""

import sys

import numpy as np
import pytest
import torch

from videoperceiver.models import Backbone, TreeBuilder, generate
from videoperceiver.models.generate import stream

QUESTIONS = ["what colour is the flash red ?", "how many times ?", "first then"]


def sharpen(*models):
    """Random weights are nearly uniform and repeat one token; stronger ones wander."""
    with torch.no_grad():
        for model in models:
            for weight in model.parameters():
                if weight.dim() == 2:
                    weight.mul_(3)


def planted(backbone, clips, degraded=None):
    trees, leaves = [], []
    for n, clip in enumerate(clips):
        builder = TreeBuilder(backbone, clip, degraded)
        video = builder.video()
        leaves.append([builder.question(video, question) for question in QUESTIONS[n:]])
        trees.append(builder.tree())
    return trees, leaves


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_greedy_equals_transformers_token_by_token(backbone, plain, make_clip, attention):
    sharpen(backbone, plain.model)
    backbone.attention = attention
    clips = [make_clip(0), make_clip(1, frames=6)]
    groups = generate(backbone, *planted(backbone, clips), num_generations=2, max_new_tokens=20, temperature=0, seed=0)
    for n, clip in enumerate(clips):
        assert len(groups[n]) == len(QUESTIONS) - n
        for question, group in zip(QUESTIONS[n:], groups[n], strict=True):
            inputs = plain.inputs(clip, question)
            out = plain.model.generate(**inputs, max_new_tokens=20, do_sample=False, suppress_tokens=backbone.adapter.media_ids)
            expected = out[0, inputs["input_ids"].shape[1] :].tolist()
            assert [completion.token_ids.tolist() for completion in group] == [expected] * 2
            assert group[0].finished == (expected[-1] == backbone.tokenizer.eos_token_id)


def test_a_stream_is_generate_token_by_token(backbone, make_clip):
    sharpen(backbone)
    [tree], [leaves] = planted(backbone, [make_clip(0)])
    [whole] = generate(backbone, [tree], [leaves], num_generations=1, max_new_tokens=12, temperature=0, seed=0)
    backbone.train()
    parts = []
    for step, drawn in enumerate(stream(backbone, tree, leaves, max_new_tokens=12), 1):
        assert not backbone.training
        parts.append([c.token_ids.tolist() for c in drawn])
        assert parts[-1] == [c.token_ids[:step].tolist() for [c] in whole]
    assert backbone.training
    assert len(parts) == max(len(c.token_ids) for [c] in whole)
    for made, [told] in zip(drawn, whole, strict=True):
        assert made.token_ids.tolist() == told.token_ids.tolist()
        assert made.logps.tolist() == told.logps.tolist()
        assert (made.text, made.finished) == (told.text, told.finished)


def test_a_stream_that_is_left_gives_the_model_back(backbone, make_clip):
    [tree], [leaves] = planted(backbone, [make_clip(0)])
    backbone.train()
    left = stream(backbone, tree, leaves, max_new_tokens=12)
    next(left)
    left.close()
    assert backbone.training
    assert torch.is_grad_enabled()


def test_the_rest_goes_on_where_most_end_with_their_first_token(backbone, make_clip, monkeypatch):
    sharpen(backbone)
    clips = [make_clip(n) for n in range(6)]
    monkeypatch.setattr(sys.modules["videoperceiver.models.generate"], "stop_ids", lambda backbone: [])
    settings = {"num_generations": 1, "max_new_tokens": 6, "temperature": 0, "seed": 0}
    whole = [group[0].token_ids.tolist() for groups in generate(backbone, *planted(backbone, clips), **settings) for group in groups]
    firsts = [ids[0] for ids in whole]
    rarest = min(firsts, key=firsts.count)
    assert 2 * firsts.count(rarest) <= len(firsts)
    stops = sorted(set(firsts) - {rarest})
    monkeypatch.setattr(sys.modules["videoperceiver.models.generate"], "stop_ids", lambda backbone: stops)
    cut = [group[0].token_ids.tolist() for groups in generate(backbone, *planted(backbone, clips), **settings) for group in groups]
    ends = [next((k + 1 for k, token in enumerate(ids) if token in stops), len(ids)) for ids in whole]
    assert cut == [ids[:end] for ids, end in zip(whole, ends, strict=True)]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_sampled_logps_equal_a_recomputation(backbone, make_clip, temperature):
    sharpen(backbone)
    clips = [make_clip(0), make_clip(1, frames=9)]
    trees, leaves = planted(backbone, clips)
    groups = generate(backbone, trees, leaves, num_generations=5, max_new_tokens=24, temperature=temperature, top_p=0.95, seed=3)
    lengths = set()
    for n, clip in enumerate(clips):
        builder = TreeBuilder(backbone, clip)
        video, logps = builder.video(), []
        for question, group in zip(QUESTIONS[n:], groups[n], strict=True):
            asked = builder.question(video, question)
            for completion in group:
                builder.answer(asked, completion.token_ids)
                logps.append(completion.logps)
                lengths.add(len(completion.token_ids))
                assert not np.isin(completion.token_ids, backbone.adapter.media_ids).any()
                assert completion.text == backbone.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        with torch.no_grad():
            out = backbone([builder.tree()])
        np.testing.assert_allclose(out.logps.numpy(), np.concatenate(logps), rtol=1e-4, atol=5e-5)
    assert len(lengths) > 1  # some stopped early, so finished rows were dropped on the way


def test_the_seed_decides(qwen, make_clip):
    sharpen(qwen)
    trees, leaves = planted(qwen, [make_clip()])
    first, again, other = (generate(qwen, trees, leaves, num_generations=4, max_new_tokens=8, seed=seed) for seed in (1, 1, 2))
    first, again, other = ([completion.token_ids.tolist() for leaf in groups[0] for completion in leaf] for groups in (first, again, other))
    assert first == again != other
    assert len({tuple(ids) for ids in first[:4]}) > 1


def test_a_leaf_with_its_own_seed_does_not_depend_on_its_company(qwen, make_clip):
    sharpen(qwen)
    trees, leaves = planted(qwen, [make_clip(), make_clip(1)])
    settings = {"num_generations": 3, "max_new_tokens": 8}
    seeds = [[11, 12, 13], [21, 22]]
    together = generate(qwen, trees, leaves, **settings, seed=seeds)
    for tree, own, own_seeds, drawn in zip(trees, leaves, seeds, together, strict=True):
        for leaf, seed, expected in zip(own, own_seeds, drawn, strict=True):
            [[alone]] = generate(qwen, [tree], [[leaf]], **settings, seed=[[seed]])
            assert [c.token_ids.tolist() for c in alone] == [c.token_ids.tolist() for c in expected]
    assert len({tuple(c.token_ids.tolist()) for leaf in together[0] for c in leaf}) > 3  # neither leaves nor generations repeat each other


def test_own_seeds_draw_from_the_same_distribution(qwen, make_clip):
    head = torch.nn.Linear(128, len(qwen.tokenizer), bias=True)
    with torch.no_grad():
        head.weight.zero_(), head.bias.fill_(-30.0)
        head.bias[[20, 21, 22]] = torch.tensor([0.6, 0.3, 0.1]).log()
    qwen.adapter.model.lm_head = head
    trees, [leaves] = planted(qwen, [make_clip()])
    [[drawn]] = generate(qwen, trees, [leaves[:1]], num_generations=1000, max_new_tokens=4, seed=[[7]])
    tokens = np.concatenate([c.token_ids for c in drawn])
    shares = [(tokens == token).mean() for token in (20, 21, 22)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.03)  # 4,000 draws: four standard errors
    assert len(tokens) == 4000
    assert np.mean(tokens[:-1] == tokens[1:]) == pytest.approx(0.36 + 0.09 + 0.01, abs=0.04)  # one after another independent


def test_training_mode_and_gradients_are_left_as_they_were(qwen, make_clip):
    trees, leaves = planted(qwen.train(), [make_clip()])
    generate(qwen, trees, leaves, num_generations=1, max_new_tokens=2, seed=0)
    assert qwen.training
    assert all(weight.grad is None for weight in qwen.parameters())


def test_media_tokens_are_never_drawn(qwen, make_clip):
    """Even where the model wants nothing else."""
    media = qwen.adapter.media_ids
    head = torch.nn.Linear(128, len(qwen.tokenizer), bias=True)
    with torch.no_grad():
        head.weight.zero_(), head.bias.zero_()
        head.bias[media] = 50.0
    qwen.adapter.model.lm_head = head
    trees, leaves = planted(qwen, [make_clip()])
    for temperature in (0, 1):
        ids = np.concatenate(
            [c.token_ids for g in generate(qwen, trees, leaves, num_generations=8, max_new_tokens=6, temperature=temperature, seed=0)[0] for c in g]
        )
        assert not np.isin(ids, media).any()


def test_top_p_cuts_the_tail(qwen, make_clip):
    head = torch.nn.Linear(128, len(qwen.tokenizer), bias=True)
    with torch.no_grad():
        head.weight.zero_(), head.bias.fill_(-30.0)
        head.bias[[20, 21, 22]] = torch.tensor([0.6, 0.3, 0.1]).log()
    qwen.adapter.model.lm_head = head
    trees, leaves = planted(qwen, [make_clip()])

    def drawn(top_p):
        groups = generate(qwen, trees, leaves, num_generations=64, max_new_tokens=2, top_p=top_p, seed=0)
        return set(np.concatenate([c.token_ids for g in groups[0] for c in g]).tolist())

    assert [drawn(top_p) for top_p in (1.0, 0.85, 0.5)] == [{20, 21, 22}, {20, 21}, {20}]


def test_degraded_and_full_video_are_continued_together(qwen, make_clip):
    sharpen(qwen)
    clip = make_clip()
    builder = TreeBuilder(qwen, clip, [0, 1, 2, 3, 3, 3, *range(6, 16)])
    asked = [builder.question(parent, "what colour ?") for parent in (builder.video(), builder.degraded(depth=3))]
    both = generate(qwen, [builder.tree()], [asked], num_generations=1, max_new_tokens=8, temperature=0, seed=0)[0]
    for group, frames in zip(both, (clip.frames, clip.frames[[0, 1, 2, 3, 3, 3, *range(6, 16)]]), strict=True):
        alone = TreeBuilder(qwen, type(clip)(frames, clip.t_s, "x"))
        leaf = alone.question(alone.video(), "what colour ?")
        expected = generate(qwen, [alone.tree()], [[leaf]], num_generations=1, max_new_tokens=8, temperature=0, seed=0)[0][0][0]
        assert group[0].token_ids.tolist() == expected.token_ids.tolist()


def test_lora_and_checkpointing_do_not_disturb_generation(folders, make_clip):
    from videoperceiver.models import Lora

    base = Backbone.load(folders["qwen2_5_vl"])
    tuned = Backbone.load(folders["qwen2_5_vl"], lora=Lora(rank=4), gradient_checkpointing=True).train()
    runs = [generate(model, *planted(model, [make_clip()]), num_generations=1, max_new_tokens=6, temperature=0, seed=0) for model in (base, tuned)]
    assert [c.token_ids.tolist() for g in runs[0][0] for c in g] == [c.token_ids.tolist() for g in runs[1][0] for c in g]
