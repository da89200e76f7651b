"""Stage 1 with the options of its contrastive loss switched on: what they grow, and resume bit for bit."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.recipe import RECIPE
from tests.training.test_sft_loss import WORDS, config_of, grow

from videoperceiver.config import load
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import draw_questions, sft_tree
from videoperceiver.errors import ConfigError
from videoperceiver.models.backbone import BESIDE, Backbone
from videoperceiver.stages import ContrastiveConfig, OptimConfig, SftConfig
from videoperceiver.training import checkpoints, runtime, sft
from videoperceiver.training.sft_loss import sft_loss

EVERYTHING = ["contrastive.layout=concatenated", "contrastive.view=attention", "contrastive.view_gradient=false", "contrastive.queue_size=5"]


def test_terms_that_are_off_are_not_grown(tiny_model, rendered):
    _, grown = grow(config_of(tiny_model, rendered, "contrastive.vv=0", "contrastive.vt=0"), tiny_model)
    assert all(g.view is None and g.text is not None for g in grown)
    _, grown = grow(config_of(tiny_model, rendered, "contrastive.tv=0", "contrastive.vt=0"), tiny_model)
    assert all(g.view is not None and g.text is None for g in grown)


def test_concatenated_trees_chain_video_twin_and_keywords(tiny_model, rendered):
    backbone, grown = grow(config_of(tiny_model, rendered, "contrastive.layout=concatenated", "uniform_weight=0.3"), tiny_model)
    for g in grown[:3]:
        nodes = g.tree.nodes
        assert nodes[g.degraded].parent == g.full
        assert nodes[g.text].parent == g.degraded
        assert nodes[g.view].parent == -1
        assert all(g.degraded not in g.tree.path(on_degraded) for _, on_degraded, _ in g.evidence)  # answers on V' never see V
        assert g.evidence
    assert grown[3].degraded is None
    assert grown[3].tree.nodes[grown[3].text].parent == grown[3].full
    loss, metrics = sft_loss(grown, backbone([g.tree for g in grown], (2,)), config_of(tiny_model, rendered, "contrastive.layout=concatenated"))
    loss.backward()
    assert metrics["tv"] > 0


def test_a_view_without_gradient_teaches_only_through_its_anchor(tiny_model, rendered):
    backbone, grown = grow(config_of(tiny_model, rendered, "contrastive.view_gradient=false", "contrastive.view=attention"), tiny_model)
    views = [g.tree.nodes[g.view] for g in grown]
    assert all(not node.gradient and node.attention_dropout == pytest.approx(0.1) and node.dropout == 0 for node in views)
    output = backbone.train()([g.tree for g in grown], (2,))
    row = {tuple(index): i for i, index in enumerate(output.tap_index.tolist())}
    weight = backbone.adapter.decoder.layers[0].mlp.down_proj.weight
    for role, teaches in (("view", False), ("full", True)):
        at = [row[t, getattr(g, role)] for t, g in enumerate(grown)]
        (gradient,) = torch.autograd.grad(output.taps[2][at].sum(), weight, retain_graph=True)
        assert bool(gradient.any()) == teaches


def test_a_share_of_the_questions_is_asked_on_the_twin_too_and_the_others_need_none(tiny_model, rendered):
    terms = ["contrastive.weight=0", "uniform_weight=0.6"]
    backbone, whole = grow(config_of(tiny_model, rendered, *terms), tiny_model)
    layout = sft.sft_layout(config_of(tiny_model, rendered, *terms, "events.share=0.3"))
    samples = [g.sample for g in whole[:3]]
    drawn = [asked for seed in range(200) for sample in samples for asked in draw_questions(sample, layout, np.random.default_rng(seed))]
    about_event = [asked for asked in drawn if not asked.question.static]
    assert sum(asked.on_degraded for asked in about_event) / len(about_event) == pytest.approx(0.3, abs=0.05)
    assert not any(asked.on_degraded for asked in drawn if asked.question.static)
    store = ClipStore([rendered], backbone.adapter.fit)
    some = [sft_tree(backbone, s, store.clip(s), layout, np.random.default_rng(seed)) for seed in range(6) for s in samples]
    assert {len(g.evidence) for g in some} >= {0, 1}
    for g in some:
        assert len(g.answers) == len(whole[0].answers)  # every question is still asked on V
        assert len(g.tree.nodes) == len(g.answers) * 2 + 1 + (2 * len(g.evidence) + 2 if g.evidence else 0)  # without a question V' is not grown
    known = dict(twins(backbone, whole[0]))
    rows = dict(twins(backbone, next(g for g in some[::3] if g.evidence)))  # the same clip
    for question, row in rows.items():
        torch.testing.assert_close(row, known[question], rtol=1e-4, atol=1e-5)


def twins(backbone, grown):
    """(question's tokens, distributions on V') of each question that V' is asked."""
    rows = backbone([grown.tree]).distributions
    return [(tuple(grown.tree.nodes[grown.tree.nodes[at].parent].input_ids), rows[0, at]) for _, at, _ in grown.evidence]


def test_the_whole_share_draws_nothing_more(tiny_model, rendered):
    _, whole = grow(config_of(tiny_model, rendered), tiny_model)
    drawn = {}
    for overrides in ([], ["uniform_weight=0.6"]):
        rng = np.random.default_rng(3)
        draw_questions(whole[0].sample, sft.sft_layout(config_of(tiny_model, rendered, *overrides)), rng)
        drawn[len(overrides)] = rng.random()
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("share", ["0", "1.5", "-0.1"])
def test_a_share_that_is_none_is_refused(tiny_model, rendered, share):
    with pytest.raises(ConfigError, match=r"events.weight and share are 0 and .*; expected weight >= 0, 0 < share <= 1"):
        config_of(tiny_model, rendered, f"events.share={share}")


def options(model, data, output, *more):
    fields = [f"model.path={model}", f"train=[{data}]", f"output={output}", "contrastive.tap_blocks=[1,2]", *RECIPE, *WORDS, *EVERYTHING, *more]
    return load(SftConfig, None, fields)


def test_a_run_with_every_option_resumes_bit_for_bit(tiny_model, rendered, bert, tmp_path, monkeypatch):
    more = ["contrastive.text_encoder=bert", f"contrastive.text_model={bert}", "contrastive.lr=1e-2", "contrastive.warmup_share=0.5"]
    whole = sft.run(options(tiny_model, rendered, tmp_path / "whole", *more))
    config, step = options(tiny_model, rendered, tmp_path / "cut", *more), sft.Trainer.step

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(sft.Trainer, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        sft.run(config)
    monkeypatch.setattr(sft.Trainer, "step", step)
    cut = sft.run(config)
    first, second = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, cut))
    assert first.keys() == second.keys()
    assert not any(name.startswith(BESIDE) for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    saved = [checkpoints.weights(run.folder / "checkpoints" / "step-00000002") for run in (whole, cut)]
    trained = saved[0]["text_projection.weight"]
    assert torch.equal(trained, saved[1]["text_projection.weight"])
    fresh = Backbone.load(tiny_model)
    fresh.attach_text_encoder(bert)
    assert not torch.equal(trained, fresh.text_projection.weight)
    rows = [[{k: v for k, v in row.items() if "_s" not in k and "share" not in k} for row in run.metrics()] for run in (whole, cut)]
    assert rows[0] == rows[1]
    assert [row["sft/lambda"] for row in rows[0][:1]] == pytest.approx([0.05])
    assert {"sft/vv_b1", "sft/vv_b2", "sft/tv_b1"} <= rows[0][0].keys()


def test_what_only_the_contrastive_loss_trains_has_its_own_learning_rate(tiny_model, bert):
    backbone = Backbone.load(tiny_model)
    backbone.attach_text_encoder(bert)
    optimizer = runtime.build_optimizer(backbone, OptimConfig(lr=1e-3, weight_decay=0.1), contrastive_lr=5e-3)
    (group,) = [g for g in optimizer.param_groups if "lr_scale" in g]
    assert {id(p) for p in group["params"]} == {id(p) for p in backbone.text_projection.parameters()}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == sum(p.requires_grad for p in backbone.parameters())
    before = {name: p.detach().clone() for name, p in backbone.named_parameters()}
    for parameter in backbone.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    runtime.apply_gradients(backbone, optimizer, lr=1e-4, clip_norm=1e9)  # half-way down the schedule: both fall alike
    moved = {name: (before[name] - p.detach()).abs().max().item() for name, p in backbone.named_parameters()}
    assert moved["text_projection.bias"] == pytest.approx(5e-4, rel=0.3)  # Adam's first step is the learning rate, and weight decay
    assert moved["model.model.language_model.norm.weight"] == pytest.approx(1e-4, rel=0.3)
    plain = runtime.build_optimizer(Backbone.load(tiny_model), OptimConfig())
    assert [set(g) - {"lr_scale"} == set(g) for g in plain.param_groups] == [True, True]


def test_a_block_the_model_does_not_have_is_refused_before_the_first_step(tiny_model, rendered, tmp_path):
    with pytest.raises(ConfigError, match=r"tap_blocks is \[16\], .* has 4 blocks; expected the last one in 1..4"):
        sft.run(options(tiny_model, rendered, tmp_path / "run", "contrastive.tap_blocks=[16]"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text_encoder": "bert"}, "text_encoder: bert needs one"),
        ({"text_model": "bert-base-uncased"}, "llm has none"),
        ({"vv": 0.0, "tv": 0.0, "vt": 0.0}, "contrastive.weight=0 for plain fine-tuning"),
        ({"tap_blocks": []}, "at least one block"),
        ({"tau": 0.0}, "tau > 0"),
        ({"view_dropout": 1.0}, "0 <= view_dropout < 1"),
        ({"queue_size": -1}, "none below 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        ContrastiveConfig(**fields)
