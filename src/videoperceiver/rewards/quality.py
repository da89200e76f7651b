"""Q(y, y*) of eq. (8): the shared parser for closed questions, entailment by the reference for open ones."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from videoperceiver import answers
from videoperceiver.types import Question

Entailment = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(premises, hypotheses) -> (N,) probability that the premise entails the hypothesis; NaN = unscorable."""


class Quality:
    """Scores completions; what cannot be scored is NaN, never 0.

    Args:
        entailment: scores open answers, all of a call in one batch.
        both_directions: an open answer is worth the lesser of "the reference entails it" and "it entails the reference", so that saying less than the
            reference costs too; otherwise the first alone.
    """

    def __init__(self, entailment: Entailment, *, both_directions: bool = False):
        self._entailment, self._both = entailment, both_directions

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> Tensor:
        """(N,) float32 in [0, 1]: Q of completion i as an answer to question i."""
        pairs = list(zip(completions, questions, strict=True))
        scores = torch.tensor([answers.compare(text, q.answer, q.kind, q.options) for text, q in pairs], dtype=torch.float32)
        said = [(i, answers.extract(text, "open"), q.answer) for i, (text, q) in enumerate(pairs) if q.kind == "open"]
        scorable = [(i, text, reference) for i, text, reference in said if text]
        if scorable:
            index, texts, references = map(list, zip(*scorable, strict=True))
            entailed = self._entailment(references, texts)
            if self._both:
                entailed = np.minimum(entailed, self._entailment(texts, references))  # NaN where either is
            scores[index] = torch.from_numpy(np.asarray(entailed, dtype=np.float32))
        return scores
