"""Groups on V and V', refeed, drawing anew, the expected comparator, random streams."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.groups import INSTRUCTION, NAN, group_of, prompts_of, rollouts_of, said, scores_of, store_of

from videoperceiver.errors import RewardError
from videoperceiver.models import forward
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import generate
from videoperceiver.rewards.base import BaseReward
from videoperceiver.rewards.quality import Quality
from videoperceiver.scoring.entailment import entailment_proxy
from videoperceiver.stages import RewardConfig, SamplingConfig
from videoperceiver.training.engines.tree import TreeEngine
from videoperceiver.training.rollouts import expected_quality
from videoperceiver.training.scores import Scorer

SMALL = SamplingConfig(num_generations=3, max_new_tokens=2, instruction=INSTRUCTION)


@pytest.fixture(scope="module")
def backbone(tiny_model):
    return Backbone.load(tiny_model)


@pytest.fixture(scope="module")
def store(rendered):
    return store_of(rendered)


class Script:
    """An engine that says what it is told to, and remembers what it was asked."""

    name = "tree"

    def __init__(self, backbone, *rounds):
        self.backbone, self.rounds, self.asked = backbone, list(rounds), []

    def sample(self, trees, leaves, *, num_generations, max_new_tokens, temperature=1.0, top_p=1.0, seed):
        self.asked.append([[self.backbone.tokenizer.decode(tree.nodes[leaf].input_ids) for leaf in own] for tree, own in zip(trees, leaves, strict=True)])
        texts = iter(self.rounds.pop(0))
        return [[[said(text) for text in next(texts)] for _ in own] for own in leaves]


def scripted(backbone, sampling, *rounds, reward=None):
    engine = Script(backbone, *rounds)
    return replace(rollouts_of(backbone, sampling, reward), engine=engine), engine


def texts(groups):
    return [([c.text for c in g.completions], [c.text for c in g.degraded]) for g in groups]


def test_groups_hold_completions_on_both_videos(backbone, store):
    prompts = prompts_of(store, 0, -1)  # the last has no V'
    groups = rollouts_of(backbone, SMALL).sample(prompts, seed=1)
    assert [g.question.id for g in groups] == [q.id for p in prompts for q in p.questions]
    assert [len(g.completions) for g in groups] == [3] * 4
    assert [len(g.degraded) for g in groups] == [3, 3, 0, 0]
    assert all(g.quality_degraded.isnan().all() for g in groups[2:])
    again = rollouts_of(backbone, SMALL).sample(prompts, seed=1)
    assert texts(again) == texts(groups)


def test_without_a_comparator_v_prime_is_not_asked_and_counts_as_wrong(backbone, store):
    groups = rollouts_of(backbone, SMALL, RewardConfig(comparator="none")).sample(prompts_of(store, 0, -1), seed=1)
    assert [len(g.degraded) for g in groups] == [0] * 4
    assert [g.quality_degraded.tolist() for g in groups[:2]] == [[0.0] * 3] * 2
    assert all(g.quality_degraded.isnan().all() for g in groups[2:])  # no V': still the fallback


def test_a_question_with_its_own_stream_is_answered_alike_in_any_company(backbone, store):
    """Another batch order, another batch, without V': the completions on V are the same."""
    own = {"by_question": True}
    both = prompts_of(store, 0, 1)
    whole = rollouts_of(backbone, SMALL, **own).sample(both, seed=5)
    alone = rollouts_of(backbone, SMALL, **own).sample(both[1:], seed=5)
    assert texts(alone) == texts(whole[2:])
    blind = rollouts_of(backbone, SMALL, RewardConfig(comparator="none"), **own).sample(both, seed=5)
    assert [full for full, _ in texts(blind)] == [full for full, _ in texts(whole)]
    assert texts(rollouts_of(backbone, SMALL, **own).sample(both, seed=6)) != texts(whole)


def test_the_expected_comparator_is_the_probability_of_the_reference(backbone, store):
    sample = store.samples[0]
    groups = rollouts_of(backbone, SMALL, RewardConfig(comparator="expected")).sample(prompts_of(store, 0, 1), seed=1)
    assert all(not g.degraded for g in groups)
    frames = store.clip(sample).frames[list(sample.degradation.source_idx)]
    for group in groups[:2]:
        plain = TreeBuilder(backbone, replace(store.clip(sample), frames=frames))
        plain.answer(plain.question(plain.video(), group.question.text), group.question.answer)
        with torch.no_grad():
            expected = backbone([plain.tree()]).logps.sum().exp().item()
        assert group.quality_degraded.tolist() == pytest.approx([expected] * 3, rel=1e-4)
        assert 0 < expected < 1
    assert expected_quality(backbone, []) == []


def test_an_open_question_is_sampled_on_v_prime_even_then(backbone, store):
    """A long answer's probability is no quality."""
    [prompt] = prompts_of(store, 0)
    described = replace(prompt.questions[0], kind="open", options=(), id="described")
    prompt = replace(prompt, questions=[described, prompt.questions[1]])
    rollouts, engine = scripted(backbone, SMALL, [["red two"] * 3] * 3, reward=RewardConfig(comparator="expected"))
    groups = rollouts.sample([prompt], seed=1)
    assert [len(g.degraded) for g in groups] == [3, 0]
    assert len(engine.asked[0][0]) == 3
    assert (groups[1].quality_degraded < 1).all()


def test_refeed_asks_only_the_wrong_ones_again_and_keeps_their_prompt(backbone, store):
    group = group_of(store, [1.0, 0.0, 0.0], [0.0] * 3)
    right, wrong = group.question.answer, next(o for o in group.question.options if o != group.question.answer)
    group.completions = [said(right), said(wrong), said(wrong)]
    sampling = SamplingConfig(num_generations=3, max_refeed=2, instruction=INSTRUCTION)
    rollouts, engine = scripted(backbone, sampling, *[[[wrong, right, wrong]]] * 2)  # only the second becomes right
    [fed] = rollouts.refeed([group], seed=0)
    assert fed.tries == [0, 1, 2]
    assert fed.quality.tolist() == [1.0, 1.0, 0.0]
    assert [c.text for c in fed.completions] == [right, right, wrong]
    assert len(engine.asked) == 2
    assert all(INSTRUCTION.split()[0] in prompt for [[prompt]] in engine.asked)


class Forgetful(TreeEngine):
    """The tree generator without memory: every call runs its trees."""

    def sample(self, trees, leaves, **settings):
        return generate(self.backbone, trees, leaves, **settings)


def test_refeed_from_the_first_prefill_equals_running_the_video_again(backbone, store, monkeypatch):
    """With a stream a question: same completions, log-probabilities and tries, one run of the video instead of two; new weights are run anew."""
    sampling = SamplingConfig(num_generations=3, max_new_tokens=3, max_refeed=2, instruction=INSTRUCTION)
    prompts, runs = prompts_of(store, 0, 1, -1), []
    run_blocks = forward.run_blocks
    monkeypatch.setattr(forward, "run_blocks", lambda *args, **kwargs: runs.append(1) or run_blocks(*args, **kwargs))
    found = []
    for engine in (TreeEngine(backbone), Forgetful(backbone)):
        runs.clear()
        rollouts = replace(rollouts_of(backbone, sampling, by_question=True), engine=engine, score=wrong)
        groups = rollouts.refeed(rollouts.sample(prompts, seed=4), seed=4)
        found.append((groups, len(runs)))
    (shared, few), (plain, many) = found
    assert (few, many) == (1, 2)
    assert texts(shared) == texts(plain)
    assert [g.tries for g in shared] == [g.tries for g in plain] == [[2] * 3] * 4 + [[0] * 3] * 2
    for a, b in zip(shared, plain, strict=True):
        for one, other in zip(a.completions, b.completions, strict=True):
            np.testing.assert_allclose(one.logps, other.logps, atol=1e-5)
    engine = TreeEngine(backbone)
    rollouts = replace(rollouts_of(backbone, sampling, by_question=True), engine=engine, score=wrong)
    groups = rollouts.sample(prompts, seed=4)
    runs.clear()
    engine.sync(backbone)
    rollouts.refeed(groups, seed=4)
    assert len(runs) == 1
    assert rollouts.instructed == {}


def wrong(full, degraded=()):
    """Every completion is wrong."""
    return torch.zeros(len(full) + len(degraded)), torch.ones(len(full)), torch.zeros(len(full), dtype=torch.bool)


def test_refeed_without_need_draws_nothing(backbone, store):
    static = group_of(store, [0.0, 0.0], [1.0, 1.0])
    static.question = replace(static.question, static=True)
    failed = group_of(store, [0.0, 0.0], [1.0, 1.0])
    failed.failed[:] = True
    groups = [group_of(store, [1.0, 1.0], [1.0, 0.0]), group_of(store, [0.0, NAN], [NAN, 0.0]), static, failed]
    rollouts, engine = scripted(backbone, SamplingConfig(max_refeed=3))
    assert rollouts.refeed(groups, seed=0) == groups
    assert engine.asked == []


def test_groups_without_signal_are_drawn_anew_and_others_left_alone(backbone, store):
    sampling = SamplingConfig(num_generations=2, no_signal="resample", max_resample=3)
    prompts = prompts_of(store, 0, 1)
    answers = [[q.answer for q in p.questions] for p in prompts]
    (a, b), (c, _) = answers
    same, mixed = lambda text: [text, text], lambda text: [text, "no"]
    first = [same(a), same(a), mixed(b), same(b), same(c), same(c), mixed("no"), same("no")]
    second = [same(a), same(a), mixed(c), same(c)]  # the first group stays flat, the third is mended
    third = [mixed(a), same(a)]
    rollouts, engine = scripted(backbone, sampling, first, second, third)

    def flat(groups):
        return [bool(g.quality.nan_to_num().std() == 0) for g in groups]

    groups = rollouts.sample(prompts, seed=0)
    groups[3].quality[:] = torch.tensor([1.0, 0.0])
    drawn = rollouts.resample(groups, 0, flat)
    assert [len(own) for own in engine.asked[1]] == [2, 2]
    assert [len(own) for own in engine.asked[2]] == [2]
    assert [g.draws for g in drawn] == [3, 1, 2, 1]
    assert [g.question.id for g in drawn] == [g.question.id for g in groups]
    assert drawn[1] is groups[1]
    assert not any(flat(drawn))


def test_drawing_anew_ends(backbone, store):
    sampling = SamplingConfig(num_generations=2, max_resample=2)
    rollouts, engine = scripted(backbone, sampling, *[[["no", "no"], ["no", "no"]]] * 3)
    [prompt] = prompts_of(store, 0, questions=1)
    [drawn] = rollouts.resample(rollouts.sample([prompt], seed=0), 0, lambda groups: [True] * len(groups))
    assert drawn.draws == 3
    assert len(engine.asked) == 3


def test_a_rule_that_fails_costs_its_completion_and_is_told(backbone, store, tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text("def rule(completion, question):\n    return {'red': 1.0, 'two': 0.5}[completion]\n")
    scorer = Scorer(Quality(entailment_proxy), BaseReward({f"{rules}:rule": 1.0}))
    rollouts, _ = scripted(backbone, SMALL, [["red", "blue", "two"]] * 2)
    [group] = replace(rollouts, score=scorer).sample(prompts_of(store, 0, questions=1), seed=0)
    assert group.failed.tolist() == [False, True, False]
    assert group.surface[[0, 2]].tolist() == [1.0, 0.5]
    assert group.surface[1].isnan()
    [error] = scorer.errors  # completions on V' have no base reward
    assert isinstance(error, RewardError)
    assert error.sample_id == store.samples[0].id
    assert "KeyError: 'blue'" in error.reason
    assert scores_of([group]).failed.sum() == 1


def test_a_clip_that_does_not_fit_is_rejected_and_the_others_go_on(backbone, store):
    """V with V' and their questions take more tokens than V alone."""
    prompts = prompts_of(store, 0, -1, questions=1)
    fits = 60
    rollouts = rollouts_of(backbone, SMALL, max_tokens=fits)
    groups = rollouts.sample(prompts, seed=0)
    assert [g.sample.id for g in groups] == [store.samples[-1].id]
    assert [e.sample_id for e in rollouts.rejects] == [store.samples[0].id]
    assert rollouts.sample(prompts[:1], seed=0) == []
