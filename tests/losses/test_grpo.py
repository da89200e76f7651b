"""Advantages, baseline and the clipped surrogate against numbers worked out by hand."""

import math

import pytest
import torch

from videoperceiver.losses.grpo import (
    ComparativeBaseline,
    combine,
    evidence_weights,
    group_advantages,
    grpo_loss,
    importance_weights,
    vneg_advantages,
)

NAN = math.nan


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_group_advantages_by_hand():
    # 1, 0, 1, 2: mean 1, squares 0 1 0 1, n-1 std sqrt(2/3) = .81650
    rewards = tensor([1.0, 0.0, 1.0, 2.0])
    got = group_advantages(rewards, "grpo", eps=0.0)
    assert got[0].tolist() == pytest.approx([0.0, -1.224745, 0.0, 1.224745], abs=1e-6)
    assert group_advantages(rewards, "dr_grpo")[0].tolist() == pytest.approx([0.0, -1.0, 0.0, 1.0])
    assert group_advantages(rewards, "grpo", eps=0.1)[0, 3].item() == pytest.approx(1 / (math.sqrt(2 / 3) + 0.1))


def test_unscored_completions_leave_the_group_and_stay_nan():
    got = group_advantages(tensor([1.0, NAN, 3.0], [NAN, 5.0, NAN], [NAN, NAN, NAN]), eps=0.0)
    # mean 2, n-1 std sqrt(2)
    assert got[0, [0, 2]].tolist() == pytest.approx([-1 / math.sqrt(2), 1 / math.sqrt(2)])
    assert got[0, 1].isnan()
    group = group_advantages(tensor([NAN, 5.0, NAN]))
    assert group[0, 1].item() == 0.0
    assert group[0, [0, 2]].isnan().all()
    assert got[2].isnan().all()


def test_a_group_without_spread_has_no_advantage():
    assert group_advantages(tensor([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])).abs().sum() == 0
    with pytest.raises(ValueError, match="'dr_grpo'"):
        group_advantages(tensor([1.0, 0.0]), "drgrpo")


def test_baseline_is_the_average_of_past_batches():
    baseline = ComparativeBaseline(decay=0.9)
    assert baseline.update(total=4.0, count=8) == 0.5  # the first batch's own mean
    assert baseline.update(total=0.0, count=8) == 0.5  # the past only: this batch's 0 is not in it yet
    assert baseline.value == pytest.approx(0.9 * 0.5 + 0.1 * 0.0)
    assert baseline.update(total=8.0, count=8) == pytest.approx(0.45)
    assert baseline.value == pytest.approx(0.9 * 0.45 + 0.1 * 1.0)


def test_baseline_survives_a_checkpoint_and_empty_batches():
    baseline = ComparativeBaseline(decay=0.5)
    assert baseline.update(0.0, 0) == 0.0
    assert baseline.value is None
    baseline.update(-1.0, 2)
    resumed = ComparativeBaseline(decay=0.5)
    resumed.load_state_dict(baseline.state_dict())
    assert resumed.update(0.0, 0) == -0.5
    assert resumed.update(3.0, 2) == baseline.update(3.0, 2) == -0.5
    assert resumed.value == baseline.value == 0.5
    with pytest.raises(ValueError, match="decay"):
        ComparativeBaseline(decay=1.0)


def test_combine_by_hand():
    base, comparative = tensor([1.0, -1.0, NAN, NAN]), tensor([0.5, NAN, -0.5, NAN])
    added, convex = combine(base, comparative, 0.2), combine(base, comparative, 0.2, "convex")
    assert added[0, :3].tolist() == pytest.approx([1.1, -1.0, -0.1])
    assert added[0, 3].isnan()
    assert convex[0, :3].tolist() == pytest.approx([0.8 + 0.1, -0.8, -0.1])
    assert convex[0, 3].isnan()
    with pytest.raises(ValueError, match="'convex'"):
        combine(base, comparative, 0.2, "mean")


def test_evidence_weights_by_hand():
    q, q_degraded = tensor([1.0, 1.0], [0.0, NAN], [1.0, 1.0], [0.0, 0.0]), tensor([0.5, 0.0], [0.25, 0.75], [NAN, NAN], [1.0, 1.0])
    assert evidence_weights(q, q_degraded, 2.0)[:, 0].tolist() == pytest.approx([1 + 2 * 0.75, 0.0, 1.0, 0.0])


def test_vneg_by_hand():
    got = vneg_advantages(tensor([1.0, 0.0, NAN]))
    assert got[0, :2].tolist() == [-0.5, 0.0]
    assert got[0, 2].isnan()


def test_importance_weights_are_truncated():
    logps = torch.zeros(2, requires_grad=True)
    weights = importance_weights(logps, torch.tensor([math.log(2.0), math.log(0.1)]), cap=3.0)
    assert weights.tolist() == pytest.approx([0.5, 3.0])
    assert not weights.requires_grad


# Two completions: y_0 has tokens 0, 1, 2 and advantage 1; y_1 has token 3 and advantage -2.
# Ratios 1.5, 1.0, 0.5 and 1.5; clipped at 0.2 to 1.2, 1.0, 0.8 and 1.2.
OLD = tensor(-1.0, -2.0, -1.0, -3.0)
LOGPS = OLD + tensor(1.5, 1.0, 0.5, 1.5).log()
COMPLETION = torch.tensor([0, 0, 0, 1])
ADVANTAGES = tensor(1.0, -2.0)
# min(r A, clip A): 1.2, 1.0, 0.5 and min(-3, -2.4) = -3
TOKEN_LOSSES = [-1.2, -1.0, -0.5, 3.0]


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        ("grpo", ((-1.2 - 1.0 - 0.5) / 3 + 3.0) / 2),
        ("dapo", (-1.2 - 1.0 - 0.5 + 3.0) / 4),
        ("dr_grpo", (-1.2 - 1.0 - 0.5 + 3.0) / (2 * 8)),
    ],
)
def test_token_level_normalizers_by_hand(normalizer, expected):
    loss, metrics = grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer=normalizer, max_length=8)
    assert loss.item() == pytest.approx(expected)
    assert metrics["ratio"].item() == pytest.approx((1.5 + 1.0 + 0.5 + 1.5) / 4)
    assert metrics["clip_fraction"].item() == 0.25  # token 0 alone: token 2 is below 0.8 but its advantage is positive
    assert metrics["kept"].item() == 1.0
    assert "kl" not in metrics


def test_gspo_by_hand():
    # s_0 = (1.5 * 1 * 0.5)^(1/3) = .908560, inside the clip; s_1 = 1.5: min(-3, -2.4) = -3
    loss, metrics = grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer="gspo")
    ratio = 0.75 ** (1 / 3)
    assert loss.item() == pytest.approx((-ratio + 3.0) / 2)
    assert metrics["ratio"].item() == pytest.approx((3 * ratio + 1.5) / 4)


def test_gspo_gradient_is_shared_by_the_sequence():
    logps = LOGPS.clone().requires_grad_()
    grpo_loss(logps, OLD, None, ADVANTAGES, COMPLETION, normalizer="gspo")[0].backward()
    # d/dlogp of -s A / C with s = exp(mean): -s A / (L C) on each of the L tokens; y_1's minimum is the unclipped 1.5 * -2
    ratio = 0.75 ** (1 / 3)
    assert logps.grad.tolist() == pytest.approx([-ratio / 6] * 3 + [1.5 * 2 / 2])


def test_gradient_stops_where_the_clip_is_active():
    logps = LOGPS.clone().requires_grad_()
    grpo_loss(logps, OLD, None, ADVANTAGES, COMPLETION, normalizer="dapo")[0].backward()
    assert logps.grad.tolist() == pytest.approx([0.0, -1.0 / 4, -0.5 / 4, 3.0 / 4])


def test_clip_higher_moves_the_upper_clip_alone():
    loss, metrics = grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer="dapo", clip_eps_high=0.6)
    assert loss.item() == pytest.approx((-1.5 - 1.0 - 0.5 + 3.0) / 4)
    assert metrics["clip_fraction"].item() == 0.0


def test_kl_is_k3_and_pulls_to_the_reference():
    ref = LOGPS + tensor(0.0, math.log(2), -math.log(2), 0.0)
    # k3 = e^d - d - 1: d = ln 2 -> 1 - .6931 = .3069; d = -ln 2 -> -.5 + .6931 = .1931
    logps = LOGPS.clone().requires_grad_()
    loss, metrics = grpo_loss(logps, OLD, ref, torch.zeros(2, dtype=torch.float64), COMPLETION, beta=0.1, normalizer="dapo")
    assert metrics["kl"].item() == pytest.approx((0.3068528 + 0.1931472) / 4)
    assert loss.item() == pytest.approx(0.1 * 0.5 / 4)
    loss.backward()
    # d k3 / d logp = 1 - e^d: -1 where the reference likes the token more (logp must rise), +.5 where less
    assert logps.grad.tolist() == pytest.approx([0.0, -0.1 / 4, 0.05 / 4, 0.0])


def test_nan_advantages_leave_numerator_and_denominator():
    advantages = tensor(1.0, NAN)
    logps = LOGPS.clone().requires_grad_()
    for normalizer, expected in (("grpo", -2.7 / 3), ("dapo", -2.7 / 3), ("dr_grpo", -2.7 / 8)):
        loss, metrics = grpo_loss(logps, OLD, LOGPS + 1, advantages, COMPLETION, normalizer=normalizer, max_length=8)
        assert loss.item() == pytest.approx(expected)
        assert metrics["kept"].item() == 0.5
    loss.backward()
    assert logps.grad[3] == 0
    assert logps.grad.isfinite().all()


def test_nothing_kept_is_zero_with_a_graph():
    logps = LOGPS.clone().requires_grad_()
    loss, metrics = grpo_loss(logps, OLD, LOGPS, tensor(NAN, NAN), COMPLETION, beta=0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert logps.grad.abs().sum() == 0
    assert metrics["kl"].isnan()
    empty = torch.zeros(0, requires_grad=True)
    loss, _ = grpo_loss(empty, empty.detach(), None, torch.zeros(2), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0


def test_an_empty_completion_does_not_dilute_the_others():
    three = torch.cat([ADVANTAGES, tensor(5.0)])  # y_2 has no tokens
    for normalizer in ("grpo", "dapo", "gspo"):
        with_empty, without = (grpo_loss(LOGPS, OLD, None, a, COMPLETION, normalizer=normalizer)[0] for a in (three, ADVANTAGES))
        assert with_empty == without


def test_token_order_does_not_matter():
    order = torch.tensor([3, 1, 0, 2])
    for normalizer in ("grpo", "dapo", "dr_grpo", "gspo"):
        shuffled = grpo_loss(LOGPS[order], OLD[order], None, ADVANTAGES, COMPLETION[order], normalizer=normalizer, max_length=8)[0]
        torch.testing.assert_close(shuffled, grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer=normalizer, max_length=8)[0])


def test_token_weights_scale_the_surrogate_and_not_the_kl():
    weights = tensor(1.0, 0.5, 1.0, 2.0)
    loss, metrics = grpo_loss(LOGPS, OLD, LOGPS + math.log(2), ADVANTAGES, COMPLETION, beta=0.1, normalizer="dapo", token_weights=weights)
    assert loss.item() == pytest.approx((-1.2 - 0.5 - 0.5 + 6.0) / 4 + 0.1 * (1 - math.log(2)))
    assert metrics["kl"].item() == pytest.approx(1 - math.log(2))


def test_two_ranks_with_the_global_denominator_average_to_one_process():
    parts = [(slice(0, 3), tensor(1.0)), (slice(3, 4), tensor(-2.0))]
    for normalizer, global_count in (("grpo", 2), ("dapo", 4), ("dr_grpo", 2), ("gspo", 2)):
        whole = LOGPS.clone().requires_grad_()
        grpo_loss(whole, OLD, None, ADVANTAGES, COMPLETION, normalizer=normalizer, max_length=8)[0].backward()
        split = LOGPS.clone().requires_grad_()
        losses = []
        for rows, advantage in parts:
            local = torch.zeros_like(COMPLETION[rows])
            losses.append(grpo_loss(split[rows], OLD[rows], None, advantage, local, normalizer=normalizer, max_length=8, denominator=global_count / 2)[0])
        (sum(losses) / 2).backward()
        torch.testing.assert_close(split.grad, whole.grad)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="beta"):
        grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, beta=0.1)
    with pytest.raises(ValueError, match="old_logps has shape"):
        grpo_loss(LOGPS, OLD[:2], None, ADVANTAGES, COMPLETION)
    with pytest.raises(ValueError, match="max_length"):
        grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer="dr_grpo")
    with pytest.raises(ValueError, match="'gspo'"):
        grpo_loss(LOGPS, OLD, None, ADVANTAGES, COMPLETION, normalizer="ppo")
