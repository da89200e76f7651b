"""Scores of completions while a step is drawn, and as one record of the whole step, over all processes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from videoperceiver.errors import RewardError
from videoperceiver.rewards.base import BaseReward
from videoperceiver.rewards.quality import Quality
from videoperceiver.types import Question

if TYPE_CHECKING:
    from videoperceiver.training.rollouts import Group

Record = dict[str, Any]
"""A group's scores as JSON."""

_DTYPES = {
    "at": torch.long,
    "quality": torch.float32,
    "quality_degraded": torch.float32,
    "first_quality": torch.float32,
    "surface": torch.float32,
    "failed": torch.bool,
    "tries": torch.long,
    "lengths": torch.long,
    "degraded_lengths": torch.long,
    "static": torch.bool,
    "twin": torch.bool,
    "is_open": torch.bool,
    "classes": torch.long,
    "draws": torch.long,
}

Said = tuple[str, Question, str]
"""A completion's text, what it answers, and of which sample."""


@dataclass
class Scorer:
    """Q and base reward of completions; a rule that fails makes its completion NaN and is remembered.

    Attributes:
        quality: Q.
        base: r_b.
        errors: failures since they were last taken.
    """

    quality: Quality
    base: BaseReward
    errors: list[RewardError] = field(default_factory=list)

    def __call__(self, full: Sequence[Said], degraded: Sequence[Said] = ()) -> tuple[Tensor, Tensor, Tensor]:
        """Scores completions on V, and Q alone of those on V' behind them.

        Returns:
            Q (N + N',), base reward (N,) and whether a rule failed (N,).
        """
        both = [*full, *degraded]
        quality = self.quality([text for text, *_ in both], [question for _, question, _ in both])
        surface, failed = torch.full((len(full),), torch.nan), torch.zeros(len(full), dtype=torch.bool)
        for i, (text, question, sample_id) in enumerate(full):
            try:
                surface[i] = self.base(text, question)
            except RewardError as error:
                self.errors.append(RewardError(error.reason, sample_id=sample_id))
                failed[i] = True
        return quality, surface, failed


@dataclass(frozen=True)
class Scores:
    """The scores of a step's groups, of all processes, in the order of the step's batch. B groups of G completions.

    Attributes:
        at: (B,) place of the prompt in the batch.
        quality, quality_degraded, first_quality, surface: (B, G), see `rollouts.Group`.
        failed: (B, G) bool, a reward rule failed on it.
        tries: (B, G) long.
        lengths: (B, G) long, tokens.
        degraded_lengths: (B, G) long, tokens of the completions on V'; 0 where there is none.
        static: (B,) bool, V' shows the answer too.
        twin: (B,) bool, the sample has a V'.
        is_open: (B,) bool, scored by entailment.
        classes: (B,) long, size of the answer class; 0 where there is none.
        draws: (B,) long, how often the group was drawn.
    """

    at: Tensor
    quality: Tensor
    quality_degraded: Tensor
    first_quality: Tensor
    surface: Tensor
    failed: Tensor
    tries: Tensor
    lengths: Tensor
    degraded_lengths: Tensor
    static: Tensor
    twin: Tensor
    is_open: Tensor
    classes: Tensor
    draws: Tensor

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """The whole step's scores, from the records of all processes in any order."""
        ordered = sorted(records, key=lambda record: record["at"])  # stable: questions of a clip stay in their order
        return cls(**{name: torch.tensor([record[name] for record in ordered], dtype=dtype) for name, dtype in _DTYPES.items()})

    def __len__(self) -> int:
        return len(self.at)

    @property
    def about_event(self) -> Tensor:
        """(B, 1) bool: V' exists and does not show the answer."""
        return (self.twin & ~self.static)[:, None]


def record(group: "Group") -> Record:
    """A group's scores as plain numbers, to be told to other processes."""
    return {
        "at": group.at,
        "quality": group.quality.tolist(),
        "quality_degraded": group.quality_degraded.tolist(),
        "first_quality": group.first_quality.tolist(),
        "surface": group.surface.tolist(),
        "failed": group.failed.tolist(),
        "tries": list(group.tries),
        "lengths": [len(c.token_ids) for c in group.completions],
        "degraded_lengths": [len(c.token_ids) for c in group.degraded] or [0] * len(group.completions),
        "static": group.question.static,
        "twin": group.sample.degradation is not None,
        "is_open": group.question.kind == "open",
        "classes": len(group.question.options),
        "draws": group.draws,
    }
