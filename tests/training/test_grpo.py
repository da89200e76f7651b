"""Stage 2: groups on V and V', refeed, advantages by hand, the loss against plain rows, resume bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import Completion
from videoperceiver.runs import Run
from videoperceiver.stages import GrpoConfig, SamplingConfig
from videoperceiver.training import grpo, rollouts
from videoperceiver.training.rollouts import Group

INSTRUCTION = "Re-answer with attention to fine-grained visual details ."
NAN = float("nan")


def config_of(model, data, output, *overrides) -> GrpoConfig:
    fields = [
        f"model.path={model}",
        f"train=[{data}]",
        f"output={output}",
        *RECIPE,
        "sampling.num_generations=4",
        "sampling.max_new_tokens=3",
        f"sampling.instruction={INSTRUCTION}",
        "sampling.max_refeed=1",
        "questions_per_clip=2",
        "batch_size=2",
        *overrides,
    ]
    return load(GrpoConfig, None, fields)


def said(text: str) -> Completion:
    return Completion(np.array([5, 6]), np.array([-0.5, -0.25], dtype=np.float32), text, True)


def trainer_of(config, tmp_path) -> grpo.Trainer:
    backbone = Backbone.load(config.model.path, freeze_vision=False)
    run = Run.open_or_create(config.output, config, stage="grpo")
    return grpo.Trainer(config, backbone, torch.optim.SGD(backbone.parameters(), lr=0.0), ClipStore(config.train, backbone.adapter.fit), run)


def group_of(config, qualities, degraded, tries=None) -> Group:
    store = ClipStore(config.train, lambda frames: frames)
    sample = store.samples[0]
    count = len(qualities)
    return Group(
        sample,
        store.clip(sample),
        sample.questions[0],
        [said("red")] * count,
        [said("red")] * count,
        tries or [0] * count,
        torch.tensor(qualities),
        torch.tensor(degraded),
        torch.zeros(count),
    )


def test_groups_hold_completions_on_both_videos(tiny_model, rendered):
    backbone, store = Backbone.load(tiny_model), ClipStore([rendered], lambda frames: frames)
    chosen = [store.samples[0], store.samples[-1]]  # the last has no V'
    prompts = [(s, store.clip(s), s.questions[:2]) for s in chosen]
    groups = rollouts.sample_groups(backbone, prompts, SamplingConfig(num_generations=3, max_new_tokens=2), seed=1)
    assert [g.question.id for g in groups] == [q.id for s in chosen for q in s.questions[:2]]
    assert [len(g.completions) for g in groups] == [3] * 4
    assert [len(g.degraded) for g in groups] == [3, 3, 0, 0]
    assert all(g.quality_degraded.isnan().all() for g in groups[2:])
    again = rollouts.sample_groups(backbone, prompts, SamplingConfig(num_generations=3, max_new_tokens=2), seed=1)
    assert [[c.text for c in g.completions] for g in again] == [[c.text for c in g.completions] for g in groups]


def test_refeed_asks_only_the_wrong_ones_again_and_keeps_their_prompt(tiny_model, rendered, monkeypatch):
    backbone = Backbone.load(tiny_model)
    store = ClipStore([rendered], lambda frames: frames)
    sample, asked = store.samples[0], []
    question = sample.questions[0]
    right, wrong = question.answer, next(o for o in question.options if o != question.answer)
    group = Group(
        sample,
        store.clip(sample),
        question,
        [said(right), said(wrong), said(wrong)],
        [said(wrong)] * 3,
        [0] * 3,
        torch.tensor([1.0, 0.0, 0.0]),
        torch.zeros(3),
        torch.zeros(3),
    )

    def draw(backbone, trees, leaves, sampling, seed):
        asked.append([backbone.tokenizer.decode(tree.nodes[leaf].input_ids) for tree, [leaf] in zip(trees, leaves, strict=True)])
        return [[[said(wrong), said(right), said(wrong)]] for _ in trees]  # only the second is now right

    monkeypatch.setattr(rollouts, "_draw", draw)
    [fed] = rollouts.refeed(backbone, [group], SamplingConfig(num_generations=3, max_refeed=2, instruction=INSTRUCTION), seed=0)
    assert fed.tries == [0, 1, 2]
    assert fed.quality.tolist() == [1.0, 1.0, 0.0]
    assert [c.text for c in fed.completions] == [right, right, wrong]
    assert len(asked) == 2
    assert all(INSTRUCTION.split()[0] in prompt for [prompt] in asked)


def test_refeed_without_need_draws_nothing(tiny_model, rendered, monkeypatch):
    config = config_of(tiny_model, rendered, "unused")
    monkeypatch.setattr(rollouts, "_draw", lambda *a: pytest.fail("drew without need"))
    groups = [group_of(config, [1.0, 1.0], [1.0, 0.0]), group_of(config, [0.0, NAN], [NAN, 0.0])]
    assert rollouts.refeed(None, groups, SamplingConfig(max_refeed=3), seed=0) == groups


def test_comparative_advantages_by_hand(tiny_model, rendered, tmp_path):
    """R = Q - Q' = (1, 0, -1, 1), b = its mean .25 in the first batch; equal surface rewards give a base advantage of 0."""
    config = config_of(tiny_model, rendered, tmp_path / "run", "reward.alpha=2")
    trainer = trainer_of(config, tmp_path)
    advantages, logged = trainer._advantages([group_of(config, [1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0])])
    assert advantages[0].tolist() == pytest.approx([2 * 0.75, 2 * -0.25, 2 * -1.25, 2 * 0.75])
    assert (logged["q"], logged["q_degraded"], logged["baseline"], logged["both_right"]) == (0.75, 0.5, 0.25, 0.25)
    advantages, logged = trainer._advantages([group_of(config, [1.0, 1.0, 1.0, 1.0], [0.0] * 4)])  # un-centred: a group without spread still has a signal
    assert logged["baseline"] == pytest.approx(0.25)  # of the past only
    assert advantages[0].tolist() == pytest.approx([1.5] * 4)
    assert trainer.baseline.state_dict()["value"] == pytest.approx(0.9 * 0.25 + 0.1 * 1.0)


def test_without_a_twin_a_prompt_falls_back_to_grpo_on_quality(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run")
    groups = [group_of(config, [1.0, 0.0, 0.0, 0.0], [NAN] * 4), group_of(config, [1.0, 0.0, 1.0, 0.0], [0.0] * 4)]
    advantages, _ = trainer_of(config, tmp_path)._advantages(groups)
    std = np.std([1, 0, 0, 0], ddof=1)
    assert advantages[0].tolist() == pytest.approx([0.75 / std, *[-0.25 / std] * 3], rel=1e-3)
    assert advantages[1].tolist() == pytest.approx([0.5, -0.5, 0.5, -0.5])


def test_a_static_question_is_rewarded_for_being_right_not_for_beating_v_prime(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run")
    group = group_of(config, [1.0, 1.0, 1.0, 0.0], [1.0] * 4)
    group.question = replace(group.question, static=True)
    advantages, _ = trainer_of(config, tmp_path)._advantages([group, group_of(config, [1.0, 0.0, 1.0, 0.0], [0.0] * 4)])
    assert (advantages[0, :3] > 0).all()
    assert advantages[0, 3] < 0
    assert rollouts.refeed(None, [group], SamplingConfig(max_refeed=3), seed=0) == [group]  # nothing is drawn: there is no backbone


def test_standard_grpo_ignores_the_twin(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "reward.objective=grpo")
    trainer = trainer_of(config, tmp_path)
    one, _ = trainer._advantages([group_of(config, [1.0, 0.0, 1.0, 0.0], [0.0] * 4)])
    other, _ = trainer._advantages([group_of(config, [1.0, 0.0, 1.0, 0.0], [1.0] * 4)])
    assert one.tolist() == other.tolist()
    assert one.sum().abs() < 1e-5


def test_a_failed_refeed_is_kept_or_dropped(tiny_model, rendered, tmp_path):
    for rule, expected in (("keep", False), ("drop", True)):
        config = config_of(tiny_model, rendered, tmp_path / rule, f"sampling.on_refeed_failure={rule}")
        advantages, _ = trainer_of(config, tmp_path)._advantages([group_of(config, [1.0, 0.0, 1.0, 0.0], [0.0] * 4, tries=[0, 1, 1, 0])])
        assert advantages[0].isnan().tolist() == [False, expected, False, False]


def test_unscorable_completions_are_masked_not_zero(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "reward.objective=grpo")
    advantages, logged = trainer_of(config, tmp_path)._advantages([group_of(config, [1.0, NAN, 0.0, 0.0], [0.0] * 4)])
    assert advantages[0].isnan().tolist() == [False, True, False, False]
    assert (logged["q"], logged["unscored"]) == (pytest.approx(1 / 3), 0.25)


def test_the_update_equals_plain_rows(tiny_model, rendered, tmp_path):
    """Loss and gradient of two groups on one tree are those of one row a completion, refed ones under their instructed prompt."""
    config = config_of(tiny_model, rendered, tmp_path / "run")
    trainer = trainer_of(config, tmp_path)
    sample = manifest.read(rendered)[0]
    clip = trainer.store.clip(sample)
    groups = rollouts.sample_groups(trainer.backbone, [(sample, clip, sample.questions[:2])], config.sampling, seed=3)
    groups[1].tries = [0, 1, 1, 0]
    advantages = torch.tensor([[1.0, -0.5, 0.25, -1.0], [0.5, 2.0, NAN, -0.125]])
    loss, _ = trainer._loss(groups, advantages)
    loss.backward()
    shared = [p.grad.clone() for p in trainer.backbone.parameters() if p.grad is not None]
    trainer.backbone.zero_grad()
    plain = torch.zeros(())
    for group, row in zip(groups, advantages, strict=True):
        for completion, tries, advantage in zip(group.completions, group.tries, row, strict=True):
            if advantage.isnan():
                continue
            b = TreeBuilder(trainer.backbone, clip)
            b.answer(b.question(b.video(), group.question.text, instruction=INSTRUCTION if tries else ""), completion.token_ids)
            logps = trainer.backbone([b.tree()]).logps
            ratio = (logps - torch.tensor(completion.logps)).exp()
            plain = plain - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean() / 7
    plain.backward()
    assert loss.item() == pytest.approx(plain.item(), abs=1e-5)
    for ours, theirs in zip(shared, [p.grad for p in trainer.backbone.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_the_uniform_term_moves_the_answer_on_v_prime_only_through_its_own_loss(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "uniform_weight=0.5")
    trainer = trainer_of(config, tmp_path)
    sample = manifest.read(rendered)[0]
    groups = rollouts.sample_groups(trainer.backbone, [(sample, trainer.store.clip(sample), sample.questions[:1])], config.sampling, seed=3)
    zero = torch.zeros(1, 4)
    loss, logged = trainer._loss(groups, zero)
    assert loss.item() == pytest.approx(0.5 * logged["uniform"], rel=1e-5)
    assert logged["uniform"] >= np.log(len(sample.questions[0].options)) - 1e-5


def test_a_run_that_was_stopped_ends_in_the_same_weights(tiny_model, rendered, tmp_path, monkeypatch):
    whole = grpo.run(config_of(tiny_model, rendered, tmp_path / "whole", "uniform_weight=0.1"))
    config, step = config_of(tiny_model, rendered, tmp_path / "cut", "uniform_weight=0.1"), grpo.Trainer.step

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(grpo.Trainer, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        grpo.run(config)
    monkeypatch.setattr(grpo.Trainer, "step", step)
    cut = grpo.run(config)
    first, second = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, cut))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [row["grpo/baseline"] for row in whole.metrics()] == [row["grpo/baseline"] for row in cut.metrics()]


def test_kl_needs_and_uses_the_reference(tiny_model, rendered, tmp_path):
    run = grpo.run(config_of(tiny_model, rendered, tmp_path / "run", "beta=0.1", "steps=2"))
    first, second = (row["grpo/kl"] for row in run.metrics())
    assert first == pytest.approx(0, abs=1e-6)
    assert second > first
