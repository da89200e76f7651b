"""Eq. (8), refeed and the logged statistics on tables that can be checked by eye."""

import math

import pytest
import torch

from videoperceiver.rewards.comparator import comparative_rewards, needs_refeed, no_signal, statistics, temporal_bonus

NAN = math.nan
#                   both right, only V, only V', both wrong, V unscored, V' unscored
Q = torch.tensor([[1.0, 1.0, 0.0, 0.0, NAN, 1.0]])
Q_DEGRADED = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, NAN]])


def test_pairs_of_the_same_index():
    reward = comparative_rewards(Q, Q_DEGRADED)
    assert reward[0, :4].tolist() == [0.0, 1.0, -1.0, 0.0]
    assert reward[0, 4:].isnan().all()


def test_groups_of_other_size_meet_the_mean_of_the_scored():
    q = torch.tensor([[1.0, 0.0], [0.5, NAN], [1.0, 1.0]])
    q_degraded = torch.tensor([[1.0, 0.0, NAN, 0.5], [0.25, 0.25, 0.25, 0.25], [NAN, NAN, NAN, NAN]])
    reward = comparative_rewards(q, q_degraded)
    assert reward[0].tolist() == [0.5, -0.5]
    assert reward[1, 0].item() == 0.25
    assert reward[1, 1].isnan()
    assert reward[2].isnan().all()  # no V': nothing is guessed


def test_expected_comparator_is_a_group_of_one():
    assert comparative_rewards(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25]]))[0].tolist() == [0.75, -0.25]


def test_refeed_triggers():
    assert needs_refeed(Q, Q_DEGRADED, "literal")[0].tolist() == [True, False, True, True, False, False]
    assert needs_refeed(Q, Q_DEGRADED, "wrong")[0].tolist() == [False, False, True, True, False, False]
    # an open answer with entailment .7 on V and .7 on V' is no better: tried again
    assert needs_refeed(torch.tensor([[0.7, 0.8]]), torch.tensor([[0.7, 0.7]]))[0].tolist() == [True, False]
    with pytest.raises(ValueError, match="'literal'"):
        needs_refeed(Q, Q_DEGRADED, "always")


def test_no_signal_groups():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [NAN, 1.0, NAN], [NAN, NAN, NAN], [1.0, NAN, 1.0], [0.5, NAN, 1.0]])
    assert no_signal(rewards).tolist() == [True, False, True, True, True, False]


def test_statistics_by_hand():
    got = statistics(Q, Q_DEGRADED)
    assert got["q"] == pytest.approx(3 / 5)
    assert got["q_degraded"] == pytest.approx(2 / 5)
    assert got["comparative"] == 0.0
    assert got["both_right"] == 0.25
    assert got["both_wrong"] == 0.25
    assert got["no_signal"] == 0.0
    assert got["unscored"] == pytest.approx(1 / 6)


def test_statistics_of_nothing_scored_are_nan_and_not_zero():
    got = statistics(torch.full((2, 2), NAN), torch.zeros(2, 2))
    assert math.isnan(got["q"])
    assert math.isnan(got["both_wrong"])
    assert got["unscored"] == 1.0


def test_refuses_groups_that_do_not_belong_together():
    with pytest.raises(ValueError, match="same B"):
        comparative_rewards(torch.zeros(2, 3), torch.zeros(1, 3))


def test_the_bonus_of_t_grpo_by_hand():
    # right shares on V and V': .5 against .5 (kept: .5 >= .8 x .5), .5 against .75 (lost: .5 < .6), .5 against nothing
    q = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, NAN]])
    q_degraded = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [NAN] * 4])
    assert temporal_bonus(q, q_degraded, 0.3).tolist() == [[pytest.approx(0.3), 0.0, pytest.approx(0.3), 0.0], [0.0] * 4, [0.0] * 4]
