"""What a remote model costs: by hand, over sessions, up to a budget."""

import pytest

from videoperceiver.errors import EndpointError
from videoperceiver.scoring.spending import Ledger


def test_cost_by_hand():
    ledger = Ledger(token_budget=10_000, price_prompt=2.0, price_answer=10.0)
    ledger.charge(1_000, 100)
    ledger.charge(500, 200)
    assert (ledger.requests, ledger.tokens) == (2, 1_800)
    assert ledger.cost == pytest.approx((1_500 * 2 + 300 * 10) / 1e6)
    assert ledger.summary() == {"requests": 2, "prompt_tokens": 1_500, "answer_tokens": 300, "cost": 0.006}


def test_without_prices_no_cost_is_claimed():
    assert "cost" not in Ledger(token_budget=1).summary()


def test_budgets_stop_before_the_next_request():
    tokens = Ledger(token_budget=100)
    tokens.charge(99, 0)
    tokens.check()
    tokens.charge(1, 0)
    with pytest.raises(EndpointError, match="spent 100 tokens, the budget is 100; raise token_budget"):
        tokens.check()
    cost = Ledger(token_budget=10**9, cost_budget=0.5, price_prompt=1.0)
    cost.charge(499_999, 0)
    cost.check()
    cost.charge(1, 10**6)  # answers are free here
    with pytest.raises(EndpointError, match=r"spent 0.5 .* the budget is 0.5; raise cost_budget"):
        cost.check()


def test_the_next_session_goes_on_counting(tmp_path):
    path = tmp_path / "answers" / "spent.jsonl"
    Ledger(path, token_budget=100).charge(60, 1)
    Ledger(path, token_budget=100).charge(30, 9)
    path.write_text(path.read_text() + '{"prompt": 10')  # a kill while a line was written
    with pytest.raises(EndpointError, match="spent 100 tokens"):
        Ledger(path, token_budget=100).check()
    Ledger(path, token_budget=101).check()
