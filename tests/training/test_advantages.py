"""Advantages by hand: eqs. (8)-(10), the fallbacks, groups without signal, the V' terms."""

from dataclasses import replace

import numpy as np
import pytest
from tests.training.groups import NAN, config_of, group_of, scores_of, store_of

from videoperceiver.losses.grpo import ComparativeBaseline
from videoperceiver.training.advantages import advantages, lacks_signal


@pytest.fixture
def given(tiny_model, rendered):
    """`given(groups, *overrides, baseline=None) -> Advantages`"""

    def call(groups, *overrides, baseline=None):
        config = config_of(tiny_model, rendered, "unused", *overrides)
        return advantages(scores_of(groups), config, baseline or ComparativeBaseline(config.reward.baseline_decay))

    return call


@pytest.fixture
def group(rendered):
    """`group(qualities, degraded, tries=None) -> Group`"""
    store = store_of(rendered)
    return lambda *args, **options: group_of(store, *args, **options)


def test_comparative_advantages_by_hand(given, group):
    """R = Q - Q' = (1, 0, -1, 1), b = its mean .25 in the first batch; equal surface rewards give a base advantage of 0."""
    baseline = ComparativeBaseline(0.9)
    first = given([group([1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0])], "reward.alpha=2", baseline=baseline)
    assert first.full[0].tolist() == pytest.approx([2 * 0.75, 2 * -0.25, 2 * -1.25, 2 * 0.75])
    logged = first.metrics
    assert (logged["q"], logged["q_degraded"], logged["baseline"], logged["both_right"], logged["length"]) == (0.75, 0.5, 0.25, 0.25, 2.0)
    second = given([group([1.0, 1.0, 1.0, 1.0], [0.0] * 4)], "reward.alpha=2", baseline=baseline)  # un-centred: without spread there still is a signal
    assert second.metrics["baseline"] == pytest.approx(0.25)  # of the past only
    assert second.full[0].tolist() == pytest.approx([1.5] * 4)
    assert baseline.state_dict()["value"] == pytest.approx(0.9 * 0.25 + 0.1 * 1.0)


def test_the_control_judges_by_q_alone(given, group):
    """comparator none sets Q(V') = 0: R = Q = (1, 0, 0, 1), b = .5; nothing is logged as Q on V'."""
    got = given([group([1.0, 0.0, 0.0, 1.0], [0.0] * 4)], "reward.comparator=none")
    assert got.full[0].tolist() == pytest.approx([0.5, -0.5, -0.5, 0.5])
    assert np.isnan(got.metrics["q_degraded"])


def test_the_expected_comparator_subtracts_one_probability(given, group):
    """R = Q - pi(y*|V') = (.7, -.3), b = .2"""
    got = given([group([1.0, 0.0], [0.3, 0.3])], "reward.comparator=expected")
    assert got.full[0].tolist() == pytest.approx([0.5, -0.5])
    assert got.metrics["q_degraded"] == pytest.approx(0.3)


def test_without_a_twin_a_prompt_falls_back_to_grpo_on_quality_and_is_counted(given, group):
    alone = group([1.0, 0.0, 0.0, 0.0], [NAN] * 4)
    alone.sample = replace(alone.sample, degradation=None)
    got = given([alone, group([1.0, 0.0, 1.0, 0.0], [0.0] * 4)])
    std = np.std([1, 0, 0, 0], ddof=1)
    assert got.full[0].tolist() == pytest.approx([0.75 / std, *[-0.25 / std] * 3], rel=1e-3)
    assert got.full[1].tolist() == pytest.approx([0.5, -0.5, 0.5, -0.5])
    assert got.metrics["without_twin"] == 0.5


def test_a_static_question_is_rewarded_for_being_right_not_for_beating_v_prime(given, group):
    static = group([1.0, 1.0, 1.0, 0.0], [1.0] * 4)
    static.question = replace(static.question, static=True)
    got = given([static, group([1.0, 0.0, 1.0, 0.0], [0.0] * 4)], "counterfactual.vneg_weight=0.5", "counterfactual.evidence_strength=5")
    assert (got.full[0, :3] > 0).all()
    assert got.full[0, 3] < 0
    assert got.degraded[0].isnan().all()  # nor are right answers on V' pushed down


def test_standard_grpo_ignores_the_twin(given, group):
    one = given([group([1.0, 0.0, 1.0, 0.0], [0.0] * 4)], "reward.objective=grpo")
    other = given([group([1.0, 0.0, 1.0, 0.0], [1.0] * 4)], "reward.objective=grpo")
    assert one.full.tolist() == other.full.tolist()
    assert one.full.sum().abs() < 1e-5


def test_t_grpo_by_hand(given, group):
    """Group 1: .5 >= .8 x .5, right answers get .3 more: rewards 2.3, 1, 2.3, 1. Group 2: .25 < .8 x 1, no bonus: 2, 1, 1, 1. Normalised in the group."""
    groups = [group([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]), group([1.0, 0.0, 0.0, 0.0], [1.0] * 4, at=1)]
    got = given(groups, "reward.objective=t_grpo", "reward.alpha=0.3", "reward.estimator=dr_grpo")
    assert got.full[0].tolist() == pytest.approx([0.65, -0.65, 0.65, -0.65])
    assert got.full[1].tolist() == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_a_failed_refeed_is_kept_or_dropped(given, group):
    for rule, expected in (("keep", False), ("drop", True)):
        got = given([group([1.0, 0.0, 1.0, 0.0], [0.0] * 4, [0, 1, 1, 0])], f"sampling.on_refeed_failure={rule}")
        assert got.full[0].isnan().tolist() == [False, expected, False, False]
        assert got.metrics["refeed_rate"] == 0.5
        assert got.metrics["refeed_gain"] == 0.5  # Q before was 0 for both, now 0 and 1


def test_unscorable_completions_are_masked_not_zero(given, group):
    got = given([group([1.0, NAN, 0.0, 0.0], [0.0] * 4)], "reward.objective=grpo")
    assert got.full[0].isnan().tolist() == [False, True, False, False]
    assert (got.metrics["q"], got.metrics["unscored"]) == (pytest.approx(1 / 3), 0.25)


def test_a_completion_whose_reward_rule_failed_is_left_out_of_everything(given, group):
    """R = (1, -, 0, 0): b is the mean of three, not of four with a 0."""
    failed = group([1.0, 1.0, 0.0, 0.0], [0.0] * 4)
    failed.surface[1], failed.failed[1] = NAN, True
    got = given([failed])
    assert got.full[0].isnan().tolist() == [False, True, False, False]
    assert got.metrics["baseline"] == pytest.approx(1 / 3)
    assert got.metrics["failed_rewards"] == 0.25
    assert got.full[0, 0].item() == pytest.approx(2 / 3, abs=1e-6)


def test_groups_without_signal_are_kept_or_skipped(given, group):
    groups = [group([1.0, 0.0, 1.0, 0.0], [0.0] * 4), group([1.0] * 4, [0.0] * 4, at=1)]
    kept, skipped = given(groups), given(groups, "sampling.no_signal=skip")
    assert not kept.full.isnan().any()
    assert kept.full[1].tolist() == pytest.approx([0.25] * 4)  # un-centred: 1 - .75
    assert skipped.full[1].isnan().all()
    assert skipped.full[0].tolist() == kept.full[0].tolist()
    assert skipped.metrics["skipped"] == 0.5


def test_what_counts_as_no_signal(tiny_model, rendered, group):
    """Equal Q is signal enough where the partners on V' differ; under plain GRPO it is none; a lone scored completion never is."""
    groups = [group([1.0] * 4, [0.0, 1.0, 0.0, 1.0]), group([1.0] * 4, [0.0] * 4, at=1), group([1.0, NAN, NAN, NAN], [0.0] * 4, at=2)]
    for objective, expected in (("comparative", [False, True, True]), ("grpo", [True, True, True])):
        config = config_of(tiny_model, rendered, "unused", f"reward.objective={objective}")
        assert lacks_signal(scores_of(groups), config).tolist() == expected
    groups[1].surface[0] = 0.5  # the base reward tells them apart
    assert lacks_signal(scores_of(groups), config_of(tiny_model, rendered, "unused")).tolist() == [False, False, True]


def test_all_groups_without_signal_tell_nothing(given, group):
    flat = [group([1.0] * 4, [1.0] * 4), group([0.0] * 4, [1.0] * 4, at=1)]
    assert given(flat, "reward.objective=grpo").tell_nothing
    assert given(flat, "sampling.no_signal=skip").tell_nothing
    assert not given(flat).tell_nothing
    assert not given(flat, "reward.objective=grpo", "counterfactual.vneg_weight=0.5").tell_nothing


def test_evidence_weights_multiply_the_advantages(given, group):
    """Gap .75 - .25 = .5, strength 2: twice the advantage. Where V' does better by 1, the weight is 0."""
    groups = [group([1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]), group([0.0] * 4, [1.0] * 4, at=1)]
    plain, weighted = given(groups), given(groups, "counterfactual.evidence_strength=2")
    assert weighted.full[0].tolist() == pytest.approx((2 * plain.full[0]).tolist())
    assert weighted.full[1].tolist() == [0.0] * 4
    assert plain.full[1].abs().sum() > 0


def test_vneg_pushes_right_answers_on_v_prime_down(given, group):
    got = given([group([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, NAN, 1.0])], "counterfactual.vneg_weight=0.5")
    assert got.degraded[0, [0, 1, 3]].tolist() == [-0.5, 0.0, -0.5]
    assert got.degraded[0, 2].isnan()
    assert given([group([1.0], [1.0])]).degraded is None


def test_open_answers_scored_by_the_proxy_say_so(given, group):
    described = group([0.5, 0.25, NAN, 0.75], [0.0] * 4)
    described.question = replace(described.question, kind="open", options=())
    assert given([described]).metrics["q_open_proxy"] == 0.5
    by_model = given([described], "reward.entailment=some/nli").metrics
    assert by_model["q_open"] == 0.5
    assert "q_open_proxy" not in by_model


def test_no_advantage_is_ever_read_from_nan(given, group):
    got = given([group([NAN] * 4, [NAN] * 4)])
    assert got.full.isnan().all()
    assert got.tell_nothing
    assert got.metrics["baseline"] == 0.0
