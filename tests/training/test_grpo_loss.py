"""Stage 2's loss on real trees against plain rows, term by term; micro-batches; another engine's completions."""

import numpy as np
import pytest
import torch
from tests.training.groups import INSTRUCTION, NAN, config_of, prompts_of, rollouts_of, scores_of, store_of

from videoperceiver.losses.counterfactual import capped_kl
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.training.advantages import Advantages
from videoperceiver.training.grpo_loss import clip_tree, step_loss, totals

ADVANTAGES = [[1.0, -0.5, 0.25, -1.0], [0.5, 2.0, NAN, -0.125]]


@pytest.fixture(scope="module")
def backbone(tiny_model):
    return Backbone.load(tiny_model, freeze_vision=False)


@pytest.fixture(scope="module")
def store(rendered):
    return store_of(rendered)


@pytest.fixture
def drawn(backbone, store, tiny_model, rendered):
    """`drawn(*overrides, clips=(0,), tries=None) -> (config, groups)` from the tree engine."""

    def draw(*overrides, clips=(0,)):
        config = config_of(tiny_model, rendered, "unused", *overrides)
        return config, rollouts_of(backbone, config.sampling).sample(prompts_of(store, *clips), seed=3)

    return draw


def loss_of(backbone, config, groups, given, *, correct=False, batches=None, old=None):
    """The step's loss as the trainer adds it up over micro-batches of clips."""
    scores, places = scores_of(groups), sorted({g.at for g in groups})
    whole = totals(scores, given, config, 1)
    grown = [clip_tree(backbone, [g for g in groups if g.at == at], [i for i, g in enumerate(groups) if g.at == at], config, given.degraded) for at in places]
    total, logged = torch.zeros(()), {}
    for own in batches or [range(len(grown))]:
        some = [grown[i] for i in own]
        for g in some:
            g.old_logps = old
        loss, parts = step_loss(some, backbone([g.tree for g in some]), None, given, whole, config, correct=correct)
        total = total + loss
        logged = {name: logged.get(name, 0.0) + value for name, value in parts.items()}
    return total, logged


def gradients(backbone, loss):
    backbone.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in backbone.parameters() if p.grad is not None]


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def row_logps(backbone, clip, question, ids, *, instruction="", source=None):
    """Log-probabilities of a completion in a row of its own, on V or on the frames `source` of it."""
    shown = clip if source is None else type(clip)(clip.frames[list(source)], clip.t_s, clip.source)
    b = TreeBuilder(backbone, shown)
    b.answer(b.question(b.video(), question.text, instruction=instruction), ids)
    return backbone([b.tree()]).logps


def test_the_update_equals_plain_rows(backbone, drawn):
    """Loss and gradient of two groups on one tree are those of one row a completion, refed ones under their instructed prompt."""
    config, groups = drawn()
    groups[1].tries = [0, 1, 1, 0]
    given = Advantages(torch.tensor(ADVANTAGES), None, {})
    loss, logged = loss_of(backbone, config, groups, given)
    shared = gradients(backbone, loss)
    plain, seen = torch.zeros(()), []
    for group, row in zip(groups, given.full, strict=True):
        for completion, tries, advantage in zip(group.completions, group.tries, row, strict=True):
            logps = row_logps(backbone, group.clip, group.question, completion.token_ids, instruction=INSTRUCTION if tries else "")
            seen.append((logps.detach() - torch.tensor(completion.logps)).abs())
            if not advantage.isnan():
                ratio = (logps - torch.tensor(completion.logps)).exp()
                plain = plain - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean() / 7
    assert loss.item() == pytest.approx(plain.item(), abs=1e-5)
    assert_equal(shared, gradients(backbone, plain))
    assert logged["kept"] == pytest.approx(7 / 8)
    # the tries were changed by hand, so two completions are read under a prompt that did not draw them: exactly that is the mismatch
    assert logged["mismatch"] == pytest.approx(torch.cat(seen).mean().item(), rel=1e-3)


def test_the_tree_engine_has_no_mismatch(backbone, drawn):
    config, groups = drawn()
    _, logged = loss_of(backbone, config, groups, Advantages(torch.tensor(ADVANTAGES), None, {}))
    assert logged["mismatch"] < 1e-5
    assert logged["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert logged["clip_fraction"] == 0.0


@pytest.mark.parametrize("normalizer", ["grpo", "dapo", "dr_grpo", "gspo"])
def test_micro_batches_add_up_to_the_step(backbone, drawn, normalizer):
    overrides = ["uniform_weight=0.5", "counterfactual.kl_weight=0.3", "counterfactual.kl_cap=2", "counterfactual.vneg_weight=0.5", f"normalizer={normalizer}"]
    config, groups = drawn(*overrides, clips=(0, 1, -1))  # the last has no V' and thus no V' terms
    full = torch.linspace(-1, 1, 24).view(6, 4)
    degraded = torch.full((6, 4), NAN)
    degraded[:4] = -0.5
    degraded[1, 2] = 0.0
    given = Advantages(full, degraded, {})
    whole, parts = (loss_of(backbone, config, groups, given, batches=batches) for batches in ([[0, 1, 2]], [[1], [2, 0]]))
    assert parts[0].item() == pytest.approx(whole[0].item(), abs=1e-5)
    assert parts[1] == pytest.approx(whole[1], abs=1e-5)
    assert_equal(gradients(backbone, parts[0]), gradients(backbone, whole[0]))
    assert {"uniform", "capped_kl", "vneg", "entropy", "mismatch"} <= whole[1].keys()


def test_the_uniform_term_moves_v_prime_through_its_own_loss_alone(backbone, drawn):
    config, groups = drawn("uniform_weight=0.5")
    loss, logged = loss_of(backbone, config, groups[:1], Advantages(torch.zeros(1, 4), None, {}))
    assert loss.item() == pytest.approx(0.5 * logged["uniform"], rel=1e-5)
    assert logged["uniform"] >= np.log(len(groups[0].question.options)) - 1e-5


def test_the_capped_kl_equals_plain_rows_and_its_gradient_goes_through_v_prime_alone(backbone, drawn):
    config, groups = drawn("counterfactual.kl_weight=0.25", "counterfactual.kl_cap=3")
    loss, logged = loss_of(backbone, config, groups, Advantages(torch.zeros(2, 4), None, {}))
    shared = gradients(backbone, loss)
    rows = {False: [], True: []}
    for group in groups:
        for on_degraded in (False, True):
            clip = group.clip
            if on_degraded:
                clip = type(clip)(clip.frames[list(group.sample.degradation.source_idx)], clip.t_s, clip.source)
            b = TreeBuilder(backbone, clip)
            node = b.answer(b.question(b.video(), group.question.text), group.question.answer, distribution=True)
            rows[on_degraded].append(backbone([b.tree()]).distributions[0, node])
    tokens = torch.tensor([len(x) for x in rows[False]])
    full, degraded = torch.cat(rows[False]).detach(), torch.cat(rows[True])
    plain = 0.25 * capped_kl(full, degraded, 3.0, torch.arange(2).repeat_interleave(tokens))
    by_answer = [(f.exp() * (f - d)).sum() for f, d in zip(full.split(tokens.tolist()), degraded.split(tokens.tolist()), strict=True)]
    assert plain.item() == pytest.approx(0.25 * np.mean([max(0.0, 3 - kl.item()) for kl in by_answer]), rel=1e-4)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-4)
    assert logged["capped_kl"] == pytest.approx(4 * plain.item(), rel=1e-4)
    assert_equal(shared, gradients(backbone, plain))


def test_vneg_trains_on_the_completions_of_v_prime(backbone, drawn):
    """Each right answer on V' adds weight x its ratio to the loss; its denominators count the wrong ones too, which need no forward."""
    config, groups = drawn("counterfactual.vneg_weight=0.5")
    degraded = torch.tensor([[-0.5, 0.0, NAN, -0.5], [0.0, 0.0, 0.0, -0.5]])
    loss, logged = loss_of(backbone, config, groups, Advantages(torch.zeros(2, 4), degraded, {}))
    shared, plain = gradients(backbone, loss), torch.zeros(())
    for group, row in zip(groups, degraded, strict=True):
        for completion, advantage in zip(group.degraded, row, strict=True):
            if advantage < 0:
                logps = row_logps(backbone, group.clip, group.question, completion.token_ids, source=group.sample.degradation.source_idx)
                plain = plain + 0.5 * (logps - torch.tensor(completion.logps)).exp().mean() / 7
    assert loss.item() == pytest.approx(plain.item(), abs=1e-5)
    assert logged["vneg"] == pytest.approx(3 * 0.5 / 7, abs=1e-5)
    assert_equal(shared, gradients(backbone, plain))


def test_another_engines_completions_are_weighed_by_truncated_importance_sampling(backbone, drawn):
    """The engine says each token was 1 nat less likely than the trainer finds: weight min(e, 2) = 2, ratio 1, mismatch 1."""
    config, groups = drawn("engine.tis_cap=2")
    given = Advantages(torch.tensor(ADVANTAGES), None, {})
    exact, _ = loss_of(backbone, config, groups, given)
    plain = gradients(backbone, exact)
    for group in groups:
        for completion in group.completions:
            completion.logps[:] -= 1.0
    loss, logged = loss_of(backbone, config, groups, given, correct=True)
    assert logged["mismatch"] == pytest.approx(1.0, abs=1e-4)
    assert logged["ratio"] == pytest.approx(1.0)
    assert loss.item() == pytest.approx(2 * exact.item(), abs=1e-4)
    assert_equal(gradients(backbone, loss), [2 * g for g in plain])
    off = config_of("m", "d", "o", "engine.tis_cap=0")
    unweighted, _ = loss_of(backbone, off, groups, given, correct=True)
    assert unweighted.item() == pytest.approx(exact.item(), abs=1e-4)


def test_a_second_update_takes_its_ratio_to_the_first_policy(backbone, drawn):
    """Old log-probabilities half a nat below: ratio e^.5 = 1.65, clipped at 1.2, or at 1.5 with clip-higher; a negative advantage is not clipped above."""
    groups = drawn()[1][:1]
    ratio = np.exp(0.5)
    for high, top in (("null", 1.2), ("0.5", 1.5)):
        config = config_of("m", "d", "o", f"clip_eps_high={high}")
        tree = clip_tree(backbone, groups, [0], config)
        given = Advantages(torch.tensor([[1.0, 1.0, -1.0, NAN]]), None, {})
        output = backbone([tree.tree])
        old = output.logps.detach() - 0.5
        loss, logged = loss_of(backbone, config, groups, given, correct=True, old=old)
        # the weights of importance sampling are 1 here up to the half nat: min(e^-.5, cap)
        weight = np.exp(-0.5)
        assert loss.item() == pytest.approx(-(2 * top - ratio) / 3 * weight, rel=1e-3)
        assert "mismatch" not in logged  # of the first update alone
        lengths = np.array([len(c.token_ids) for c in groups[0].completions])
        assert logged["clip_fraction"] == pytest.approx(lengths[:2].sum() / lengths[:3].sum())
