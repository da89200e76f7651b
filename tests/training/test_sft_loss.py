"""Stage 1's loss switch by switch: weights, schedule, queue, rows that lack something, and two ranks against one process."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import sft_tree
from videoperceiver.losses.contrastive import NO_KEYWORDS, Negatives, contrastive_losses, keyword_ids
from videoperceiver.losses.queue import Queues
from videoperceiver.models.backbone import Backbone
from videoperceiver.stages import SftConfig
from videoperceiver.training import sft
from videoperceiver.training.sft_loss import ROLES, contrastive_weight, counts, sft_loss

WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video ."]


def config_of(model, data, *overrides) -> SftConfig:
    fields = [f"model.path={model}", f"train=[{data}]", "output=unused", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS, "instruction_share=0", *overrides]
    return load(SftConfig, None, fields)


def grow(config, model, chosen=slice(0, 4)):
    backbone = Backbone.load(model, freeze_vision=False)  # evaluation mode: no dropout, so that passes can be compared
    store = ClipStore(config.train, backbone.adapter.fit)
    rng = np.random.default_rng(0)
    samples = [*store.samples[:3], store.samples[-1]][chosen]  # the last has no V'
    return backbone, [sft_tree(backbone, s, store.clip(s), sft.sft_layout(config), rng) for s in samples]


@pytest.fixture(scope="module")
def grown(tiny_model, rendered):
    return grow(config_of(tiny_model, rendered), tiny_model)


@pytest.fixture(scope="module")
def output(grown):
    backbone, trees = grown
    with torch.no_grad():
        return backbone([g.tree for g in trees], tap_blocks=(2,))


def taps_of(output):
    """The same output with its taps as a leaf."""
    leaf = output.taps[2].clone().requires_grad_()
    return output._replace(taps={2: leaf}), leaf


def apart(grown, output, leaf, *, negatives=None, ids=True):
    """The terms from `contrastive_losses` on rows picked by hand."""
    row = {(int(t), int(n)): i for i, (t, n) in enumerate(output.tap_index.tolist())}
    missing = torch.zeros(1, leaf.shape[1])
    h = {role: torch.cat([missing if (n := getattr(g, role)) is None else leaf[row[t, n]][None] for t, g in enumerate(grown)]) for role in ROLES}
    have = [torch.tensor([getattr(g, role) is not None for g in grown]) for role in ("degraded", "text")]
    named = keyword_ids([g.sample.keywords for g in grown]) if ids else None
    return contrastive_losses(*h.values(), has_degraded=have[0], has_text=have[1], ids=named, negatives=negatives), h, have


def test_each_term_has_its_weight_in_value_and_gradient(grown, output, tiny_model, rendered):
    _, trees = grown
    config = config_of(tiny_model, rendered, "contrastive.vv=0.5", "contrastive.tv=2", "contrastive.vt=0")
    got, leaf = taps_of(output)
    loss, metrics = sft_loss(trees, got, config)
    (gradient,) = torch.autograd.grad(loss, leaf)
    plain, other = taps_of(output)
    terms, _, _ = apart(trees, plain, other)
    expected = 0.5 * terms.video_video + 2 * terms.text_video
    assert metrics["contrastive"] == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(gradient, torch.autograd.grad(0.1 * expected, other)[0])


def test_answers_about_the_event_count_twice_in_value_and_gradient(tiny_model, rendered):
    config = config_of(tiny_model, rendered, "contrastive.weight=0", "events.weight=0.5")
    backbone, trees = grow(config, tiny_model)
    output = backbone([g.tree for g in trees])
    leaf = output.logps.detach().clone().requires_grad_()
    loss, metrics = sft_loss(trees, output._replace(logps=leaf), config)
    (gradient,) = torch.autograd.grad(loss, leaf)
    asked = [g.sample.questions for g in trees]
    about = {(t, g.answers[q]) for t, g in enumerate(trees) for q, question in enumerate(asked[t]) if not question.static}
    trained = {(t, node) for t, g in enumerate(trees) for node in g.answers}
    where = [tuple(at) for at in output.node.tolist()]
    num_answers, num_events = sum(at in trained for at in where), sum(at in about for at in where)
    assert 0 < num_events < num_answers
    expected = torch.tensor([-(at in trained) / num_answers - 0.5 * (at in about) / num_events for at in where])
    torch.testing.assert_close(gradient, expected)
    assert loss.item() == pytest.approx((expected * leaf).sum().item(), rel=1e-6)
    assert metrics["loss"] == pytest.approx(metrics["ce"] + 0.5 * metrics["ce_events"], rel=1e-6)


def test_rows_with_the_same_keywords_are_negatives_in_the_literal_recipe(grown, output, tiny_model, rendered):
    _, trees = grown
    alike = [replace(g, sample=replace(g.sample, keywords=("the flash",))) for g in trees]
    values = {}
    for masked in (True, False):
        _, metrics = sft_loss(alike, output, config_of(tiny_model, rendered, f"contrastive.mask_same_keywords={masked}"))
        terms, _, _ = apart(alike, output, output.taps[2], ids=masked)
        values[masked] = metrics["contrastive"]
        assert metrics["contrastive"] == pytest.approx(terms.total().item(), rel=1e-6)
    assert values[False] > values[True] + 0.1


def test_lambda_rises_and_falls_as_the_schedule_says(tiny_model, rendered):
    config = config_of(tiny_model, rendered, "steps=10", "contrastive.weight=0.2", "contrastive.warmup_share=0.4", "contrastive.schedule=linear")
    assert [contrastive_weight(config, step) for step in range(5)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2])
    assert [contrastive_weight(config, step) for step in (7, 9)] == pytest.approx([0.1, 0.2 / 6])
    cosine = config_of(tiny_model, rendered, "steps=10", "contrastive.weight=0.2", "contrastive.schedule=cosine")
    assert contrastive_weight(cosine, 5) == pytest.approx(0.1 * (1 + math.cos(math.pi / 2)))
    assert contrastive_weight(config_of(tiny_model, rendered), 3) == contrastive_weight(config, None) / 2 == 0.1


def test_lambda_weights_the_terms_of_its_step(grown, output, tiny_model, rendered):
    config = config_of(tiny_model, rendered, "steps=10", "contrastive.warmup_share=0.5")
    values = [sft_loss(grown[1], output, config, step=step)[1] for step in (0, 4)]
    for metrics, weight in zip(values, (0.02, 0.1), strict=True):
        assert metrics["loss"] == pytest.approx(metrics["ce"] + weight * metrics["contrastive"], rel=1e-6)
    assert values[0]["lambda"] == pytest.approx(0.02)


def test_queue_adds_the_rows_before_this_batch_and_resumes_bit_for_bit(grown, output, tiny_model, rendered):
    _, trees = grown
    config = config_of(tiny_model, rendered, "contrastive.queue_size=6")
    queues = Queues(config.contrastive.queue_size, config.contrastive.tap_blocks)
    empty = sft_loss(trees, output, config, queues=queues)[1]
    assert empty["contrastive"] == sft_loss(trees, output, config)[1]["contrastive"]  # a row never meets itself

    _, h, (has_degraded, has_text) = apart(trees, output, output.taps[2])
    ids = keyword_ids([g.sample.keywords for g in trees])
    past = Negatives(h["full"], h["degraded"][has_degraded], h["text"][has_text], ids, ids)
    resumed = Queues(6, [2])
    resumed.load_state_dict(queues.state_dict())
    for queue in (queues, resumed):
        got, leaf = taps_of(output)
        loss, metrics = sft_loss(trees, got, config, queues=queue)
        plain, other = taps_of(output)
        terms, _, _ = apart(trees, plain, other, negatives=past)
        assert metrics["contrastive"] == pytest.approx(terms.total().item(), rel=1e-6)
        torch.testing.assert_close(torch.autograd.grad(loss, leaf)[0], torch.autograd.grad(0.1 * terms.total(), other)[0])
    after = [queue.state_dict() for queue in (queues, resumed)]
    assert after[0].keys() == after[1].keys()
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])
    assert len(queues[2]) == 6
    assert Queues(0, [2]).state_dict() == {}
    assert Queues(0, [2])[2] is None


@pytest.mark.parametrize("lacking", ["twins", "keywords", "company", "everything"])
def test_rows_that_lack_something_drop_only_those_terms_and_never_become_nan(grown, tiny_model, rendered, lacking):
    backbone, trees = grown
    if lacking in ("twins", "everything"):
        trees = [replace(g, degraded=None) for g in trees]
    if lacking in ("keywords", "everything"):
        trees = [replace(g, text=None, sample=replace(g.sample, keywords=())) for g in trees]
    if lacking in ("company", "everything"):
        trees = trees[:1]
    backbone.zero_grad()
    out = backbone([g.tree for g in trees], tap_blocks=(2,))
    loss, metrics = sft_loss(trees, out, config_of(tiny_model, rendered))
    loss.backward()
    assert math.isfinite(metrics["loss"])
    assert all(torch.isfinite(weight.grad).all() for weight in backbone.parameters() if weight.grad is not None)
    assert (metrics["tv"] == 0) == (lacking in ("keywords", "everything"))
    assert (metrics["vv"] == 0) == (lacking == "everything")
    if lacking == "company":  # V' is the only negative left
        terms, _, _ = apart(trees, out, out.taps[2].detach())
        assert metrics["vv"] == pytest.approx(terms.video_video.item(), rel=1e-5)
        assert metrics["vt"] == 0


def test_a_batch_without_a_contrasted_clip_has_a_loss_of_its_answers_alone(grown, output, tiny_model, rendered):
    trees = [replace(g, full=None, view=None, degraded=None, text=None) for g in grown[1]]
    got, leaf = taps_of(output)
    loss, metrics = sft_loss(trees, got, config_of(tiny_model, rendered))
    assert metrics["loss"] == pytest.approx(metrics["ce"])
    assert not torch.autograd.grad(loss, leaf)[0].any()
    assert counts(trees)["clips"] == 0


SHARES = (slice(0, 3), slice(3, 4))
"""Of the four clips, those of each rank; the second rank's one has no V'."""


def rank_step(backbone, trees, config, totals, queues):
    for _ in range(2):  # the second time the queue is full
        backbone.zero_grad()
        loss, metrics = sft_loss(trees, backbone([g.tree for g in trees], tap_blocks=(2,)), config, totals, queues=queues)
        loss.backward()
    return loss.item(), metrics, {name: weight.grad for name, weight in backbone.named_parameters() if weight.grad is not None}


def work(rank, model, data, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    config = config_of(model, data, "contrastive.queue_size=4", "uniform_weight=0.3", "events.weight=0.5")
    backbone, trees = grow(config, model, SHARES[rank])
    here = counts(trees)
    totals = {name: torch.tensor(float(value)) for name, value in here.items()}
    for value in totals.values():
        dist.all_reduce(value)
    queues = Queues(4, [2])
    loss, metrics, gradients = rank_step(backbone, trees, config, {name: value.item() / 2 for name, value in totals.items()}, queues)
    for gradient in gradients.values():
        dist.all_reduce(gradient)
    results[rank] = loss, metrics, {name: gradient / 2 for name, gradient in gradients.items()}, queues.state_dict()
    dist.destroy_process_group()


def test_two_ranks_equal_one_process_with_the_whole_batch(tiny_model, rendered, tmp_path):
    with mp.Manager() as manager:
        shared = manager.dict()
        mp.start_processes(work, (tiny_model, rendered, tmp_path / "store", shared), nprocs=2, start_method="fork")
        results = dict(shared)
    config = config_of(tiny_model, rendered, "contrastive.queue_size=4", "uniform_weight=0.3", "events.weight=0.5")
    backbone, trees = grow(config, tiny_model)
    queues = Queues(4, [2])
    loss, metrics, gradients = rank_step(backbone, trees, config, None, queues)
    assert sum(results[rank][0] for rank in range(2)) / 2 == pytest.approx(loss, rel=1e-5)
    for name in ("contrastive", "vv", "tv", "vt", "t2v_r1", "ce", "ce_events", "uniform"):
        assert sum(results[rank][1][name] for rank in range(2)) / 2 == pytest.approx(metrics[name], rel=1e-5), name
    for rank in range(2):
        assert results[rank][2].keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(results[rank][2][name], gradient, rtol=1e-3, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")
    for name, rows in queues.state_dict().items():
        torch.testing.assert_close(results[0][3][name], rows, rtol=1e-4, atol=1e-5)
        assert torch.equal(results[0][3][name], results[1][3][name])
    assert NO_KEYWORDS not in queues.state_dict()["2.ids"]
