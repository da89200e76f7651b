"""What a remote model costs: tokens and money counted, kept over interruptions, and capped."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from videoperceiver.errors import EndpointError

_MILLION = 1_000_000


class Ledger:
    """Counts what answers cost, and refuses to go on once a budget is spent.

    Requests that are in flight when a budget is reached still count, so that it may be exceeded by what they cost.

    Args:
        path: a line an answer is appended to this file and read back by the next session, so that budgets hold for all of them; None = this session alone.
        token_budget: of prompts and answers together.
        cost_budget: in the prices' currency; 0 = none.
        price_prompt: of a million prompt tokens.
        price_answer: of a million answer tokens.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, token_budget: int, cost_budget: float = 0.0, price_prompt: float = 0.0, price_answer: float = 0.0
    ):
        self._path = Path(path) if path is not None else None
        self._token_budget, self._cost_budget = token_budget, cost_budget
        self._price_prompt, self._price_answer = price_prompt, price_answer
        self._lock = threading.Lock()
        self.requests = self.prompt_tokens = self.answer_tokens = 0
        for row in _rows(self._path):
            self.requests += 1
            self.prompt_tokens += row["prompt"]
            self.answer_tokens += row["answer"]

    @property
    def tokens(self) -> int:
        """Spent so far, prompts and answers."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def cost(self) -> float:
        """Spent so far, in the prices' currency."""
        return (self.prompt_tokens * self._price_prompt + self.answer_tokens * self._price_answer) / _MILLION

    def charge(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Counts one answer, whether or not it could be used."""
        with self._lock:
            self.requests += 1
            self.prompt_tokens += prompt_tokens
            self.answer_tokens += answer_tokens
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"prompt": prompt_tokens, "answer": answer_tokens}) + "\n")

    def check(self) -> None:
        """Raises EndpointError where a budget is spent."""
        if self.tokens >= self._token_budget:
            raise EndpointError(f"spent {self.tokens:,} tokens, the budget is {self._token_budget:,}; raise token_budget to go on: what was answered is kept")
        if self._cost_budget and self.cost >= self._cost_budget:
            raise EndpointError(
                f"spent {self.cost:.4g} in the prices' currency, the budget is {self._cost_budget:g}; raise cost_budget to go on: what was answered is kept"
            )

    def summary(self) -> dict[str, Any]:
        """Counts for a result; the cost only where prices are known."""
        priced = {"cost": round(self.cost, 6)} if self._price_prompt or self._price_answer else {}
        return {"requests": self.requests, "prompt_tokens": self.prompt_tokens, "answer_tokens": self.answer_tokens, **priced}


def _rows(path: Path | None) -> list[dict[str, int]]:
    """Whole lines of a ledger; a torn last one, left by a kill, is not counted."""
    if path is None or not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole if line]
