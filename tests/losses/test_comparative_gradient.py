"""What eq. (8) does to the gradient, by exact enumeration: one categorical policy on V (logits) and one on V' (other logits).

The proof is in docs/method.md. Here A answers, one right; completions are single tokens, so every expectation is a finite sum.
"""

import itertools

import pytest
import torch

from videoperceiver.losses.grpo import group_advantages, grpo_loss, vneg_advantages
from videoperceiver.rewards.comparator import comparative_rewards

LOGITS = torch.tensor([0.3, -0.2, 0.8], dtype=torch.float64)
LOGITS_DEGRADED = torch.tensor([0.9, 0.1, -0.5], dtype=torch.float64)
RIGHT = 0
GROUP = 2
BASELINE = 0.125


def quality(answers):
    return (torch.tensor(answers) == RIGHT).double()


def loss_gradient(answers, advantages):
    """Gradient of the surrogate with respect to the logits on V, for the sampled answers (G,) and their advantages (G,)."""
    logits = LOGITS.clone().requires_grad_()
    logps = logits.log_softmax(dim=0)[torch.tensor(answers)]
    grpo_loss(logps, logps.detach(), None, advantages, torch.arange(len(answers)))[0].backward()
    return logits.grad


def expected_gradient(advantage_of):
    """Sum over all groups on V and on V', weighted by their probability, of the loss's gradient."""
    probs, probs_degraded = LOGITS.softmax(dim=0), LOGITS_DEGRADED.softmax(dim=0)
    total = torch.zeros(3, dtype=torch.float64)
    for answers in itertools.product(range(3), repeat=GROUP):
        for others in itertools.product(range(3), repeat=GROUP):
            weight = probs[list(answers)].prod() * probs_degraded[list(others)].prod()
            total += weight * loss_gradient(answers, advantage_of(quality(answers)[None], quality(others)[None])[0])
    return total


def test_expected_gradient_of_the_literal_reward_is_that_of_uncentred_quality():
    literal = expected_gradient(lambda q, q_degraded: comparative_rewards(q, q_degraded) - BASELINE)
    plain = expected_gradient(lambda q, q_degraded: q)
    torch.testing.assert_close(literal, plain)
    # -d/dz_a E[Q] = -p_right (1[a = right] - p_a), worked out from the policy-gradient theorem
    p = LOGITS.softmax(dim=0)
    torch.testing.assert_close(plain, -p[RIGHT] * (torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) - p))


def test_the_mean_over_v_prime_changes_nothing_in_expectation_either():
    mean = expected_gradient(lambda q, q_degraded: comparative_rewards(q, q_degraded.mean(dim=1, keepdim=True)))
    torch.testing.assert_close(mean, expected_gradient(lambda q, q_degraded: q))


def test_the_sample_gradient_survives_without_group_centring():
    # both answers right and both partners wrong: R = 1, 1. Group-normalised GRPO sees no spread; eq. (9) keeps the signal.
    q, q_degraded = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    reward = comparative_rewards(q, q_degraded)
    assert loss_gradient((0, 0), group_advantages(reward)[0]).abs().sum() == 0
    gradient = loss_gradient((0, 0), (reward - BASELINE)[0])
    p = LOGITS.softmax(dim=0)
    assert gradient.tolist() == pytest.approx((-(1 - BASELINE) * (torch.tensor([1.0, 0.0, 0.0]) - p)).tolist())


def test_another_v_prime_answer_changes_the_sample_gradient():
    q = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    seen = [loss_gradient((0, 1), (comparative_rewards(q, torch.tensor([other], dtype=torch.float64)) - BASELINE)[0]) for other in ([0.0, 0.0], [1.0, 0.0])]
    assert not torch.allclose(seen[0], seen[1])


@pytest.mark.parametrize("estimator", ["grpo", "dr_grpo"])
def test_group_centring_cancels_the_mean_v_prime_term_exactly(estimator):
    q = torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    plain = group_advantages(q, estimator)
    for q_degraded in ([0.0], [0.5], [1.0]):
        reward = comparative_rewards(q, torch.tensor([q_degraded], dtype=torch.float64))
        assert torch.equal(group_advantages(reward, estimator), plain)


def test_group_centring_leaves_paired_v_prime_as_noise_without_mean():
    """Paired and centred, the V' term does not cancel in one sample, but its expected contribution is 0 (Dr. GRPO, no division by std)."""
    paired = expected_gradient(lambda q, q_degraded: group_advantages(comparative_rewards(q, q_degraded), "dr_grpo"))
    centred = expected_gradient(lambda q, q_degraded: group_advantages(q, "dr_grpo"))
    torch.testing.assert_close(paired, centred)


def test_the_expected_comparator_and_the_control_have_the_same_expected_gradient():
    """pi(y*|V') in place of the sampled Q(y'), and 0 in place of both: less noise, the same direction."""
    plain = expected_gradient(lambda q, q_degraded: q)
    probability = LOGITS_DEGRADED.softmax(dim=0)[RIGHT].view(1, 1)
    torch.testing.assert_close(expected_gradient(lambda q, q_degraded: comparative_rewards(q, probability) - BASELINE), plain)
    torch.testing.assert_close(expected_gradient(lambda q, q_degraded: comparative_rewards(q, torch.zeros_like(q)) - BASELINE), plain)


def test_vneg_does_reach_v_prime():
    """Summed over every answer on V', -w Q(y') moves the logits there by w p_right (1[a = right] - p_a): a descent step makes the right guess less likely."""
    weight, p = 0.5, LOGITS_DEGRADED.softmax(dim=0)
    total = torch.zeros(3, dtype=torch.float64)
    for answer in range(3):
        logits = LOGITS_DEGRADED.clone().requires_grad_()
        logps = logits.log_softmax(dim=0)[[answer]]
        grpo_loss(logps, logps.detach(), None, vneg_advantages(quality([answer]), weight), torch.tensor([0]))[0].backward()
        total += p[answer] * logits.grad
    torch.testing.assert_close(total, weight * p[RIGHT] * (torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) - p))
