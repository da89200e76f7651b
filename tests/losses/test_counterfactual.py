"""The V' terms of docs/method.md against numbers worked out by hand, and where their gradients go."""

import math

import pytest
import torch

from videoperceiver.losses.counterfactual import capped_kl, product_of_experts, uniform_on_degraded


def log(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def test_uniform_by_hand():
    # row 1: -(ln .5 + ln .2) / 2; row 2 over three candidates: -(ln .1 + ln .6 + ln .3) / 3
    log_probs = log([0.5, 0.2, 0.3], [0.1, 0.6, 0.3])
    got = uniform_on_degraded(log_probs, torch.tensor([[0, 1, -1], [0, 1, 2]]))
    first = -(math.log(0.5) + math.log(0.2)) / 2
    second = -(math.log(0.1) + math.log(0.6) + math.log(0.3)) / 3
    assert first == pytest.approx(1.1513, abs=1e-4)
    assert second == pytest.approx(1.3391, abs=1e-4)
    assert got.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_uniform_is_least_at_the_uniform_and_moves_towards_it():
    candidates = torch.tensor([[0, 1]])
    assert uniform_on_degraded(log([0.5, 0.5, 0.0001]), candidates).item() == pytest.approx(math.log(2), rel=1e-5)
    logits = torch.tensor([[2.0, 0.0, 1.0]], requires_grad=True)
    uniform_on_degraded(logits.log_softmax(dim=1), candidates).backward()
    # d/dz = p - u: softmax(2, 0, 1) = .665, .090, .245
    assert logits.grad[0].tolist() == pytest.approx([0.6652 - 0.5, 0.0900 - 0.5, 0.2447], abs=1e-4)


def test_uniform_counts_a_shared_first_token_twice():
    log_probs = log([0.6, 0.3, 0.1])
    got = uniform_on_degraded(log_probs, torch.tensor([[0, 0, 1]]))
    assert got.item() == pytest.approx(-(2 * math.log(0.6) + math.log(0.3)) / 3, rel=1e-6)


def test_uniform_leaves_rows_without_a_class_out():
    logits = torch.zeros(2, 3, requires_grad=True)
    candidates = torch.tensor([[0, -1], [-1, -1]])
    loss = uniform_on_degraded(logits.log_softmax(dim=1), candidates)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.abs().sum() == 0
    with pytest.raises(ValueError, match="one row for each row"):
        uniform_on_degraded(logits, torch.zeros(3, 2, dtype=torch.long))


def test_product_of_experts_by_hand():
    # pi(V) = (.5, .3, .2), pi(V') = (.2, .2, .6): product (.10, .06, .12) / .28; target 0
    got = product_of_experts(log([0.5, 0.3, 0.2]), log([0.2, 0.2, 0.6]), torch.tensor([0]))
    assert got.item() == pytest.approx(-math.log(0.10 / 0.28), rel=1e-6)


def test_product_of_experts_trains_v_alone_and_less_where_v_prime_knows():
    knows, doubts = torch.tensor([[3.0, 0.0]]), torch.zeros(1, 2)
    gradients = []
    for other in (knows, doubts):
        logits, degraded = torch.zeros(1, 2, requires_grad=True), other.clone().requires_grad_()
        product_of_experts(logits.log_softmax(dim=1), degraded.log_softmax(dim=1), torch.tensor([0])).backward()
        assert degraded.grad is None
        gradients.append(logits.grad[0, 0].item())
    # d/dz_0 = p_joint(0) - 1: sigmoid(3) - 1 where V' knows, -1/2 where it does not
    assert gradients == pytest.approx([1 / (1 + math.exp(-3)) - 1, -0.5], abs=1e-6)


def test_capped_kl_by_hand():
    # KL((.8,.2) || (.5,.5)) = .8 ln 1.6 + .2 ln .4 = .1927
    kl = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    got = capped_kl(log([0.8, 0.2], [0.5, 0.5]), log([0.5, 0.5], [0.5, 0.5]), cap=0.1)
    assert kl == pytest.approx(0.1927, abs=1e-4)
    assert got.item() == pytest.approx((0.0 + 0.1) / 2, abs=1e-7)  # row 1 is over the cap, row 2 has KL 0
    assert capped_kl(log([0.8, 0.2]), log([0.5, 0.5]), cap=1.0).item() == pytest.approx(1 - kl, rel=1e-5)


def test_capped_kl_pushes_apart_until_the_cap():
    target = torch.tensor([[1.0, 0.0]]).log_softmax(dim=1)
    degraded = torch.tensor([[0.5, 0.0]], requires_grad=True)
    capped_kl(target, degraded.log_softmax(dim=1), cap=1.0).backward()
    assert degraded.grad[0, 0] > 0  # a descent step makes V's answer less likely on V'
    far = torch.tensor([[-9.0, 0.0]], requires_grad=True)
    capped_kl(target, far.log_softmax(dim=1), cap=1.0).backward()
    assert far.grad.abs().sum() == 0
    with pytest.raises(ValueError, match="above 0"):
        capped_kl(target, target, cap=0.0)


def test_capped_kl_of_whole_answers_by_hand():
    """Token KLs .1927, 0 | .1927, .1927: answers of .1927 and .3854 against a cap of .3; single tokens would leave three of four below it."""
    kl = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
    full, degraded = log([0.8, 0.2], [0.5, 0.5], [0.8, 0.2], [0.8, 0.2]), log(*[[0.5, 0.5]] * 4)
    got = capped_kl(full, degraded, cap=0.3, answer=torch.tensor([0, 0, 1, 1]))
    assert got.item() == pytest.approx((0.3 - kl) / 2, rel=1e-5)
    assert capped_kl(full, degraded, cap=0.3).item() == pytest.approx((3 * (0.3 - kl) + 0.3) / 4, rel=1e-5)
    degraded = torch.zeros(2, 2, requires_grad=True)
    capped_kl(full[:2], degraded.log_softmax(1), cap=0.1, answer=torch.tensor([0, 0])).backward()
    assert degraded.grad.abs().sum() == 0  # the first token has told them apart; the second may stay as it is


def test_no_rows_is_zero_with_a_graph():
    empty = torch.zeros(0, 4, requires_grad=True)
    no_ids = torch.zeros(0, 2, dtype=torch.long)
    total = uniform_on_degraded(empty, no_ids) + product_of_experts(empty, empty, no_ids[:, 0]) + capped_kl(empty, empty, 1.0)
    total = total + capped_kl(empty, empty, 1.0, answer=no_ids[:, 0])
    total.backward()
    assert total.item() == 0.0
    assert empty.grad.shape == (0, 4)
