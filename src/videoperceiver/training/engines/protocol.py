"""What stage 2 asks of whoever draws its completions, and what it accepts as an answer."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from videoperceiver.errors import EngineError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Completion, Seed
from videoperceiver.models.tree import Tree

Drawn = list[list[list[Completion]]]
"""Completions by tree, leaf and generation."""


class RolloutEngine(Protocol):
    """Draws completions from the policy.

    Attributes:
        name: for logs and messages.
    """

    name: str

    def sample(
        self,
        trees: Sequence[Tree],
        leaves: Sequence[Sequence[int]],
        *,
        num_generations: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: Seed,
    ) -> Drawn:
        """Completions of the trees' leaves, with the arguments and results of `models.generate.generate`.

        `Completion.logps` are log-probabilities under the engine's own weights at temperature 1, with nothing suppressed or cut off.

        Raises:
            EngineError: the engine died, hung, refused or returned something that is no completion.
        """
        ...

    def sync(self, backbone: Backbone) -> None:
        """Hands the policy's weights over: after every update, by every rank.

        Raises:
            EngineError: the weights did not arrive.
        """
        ...

    def close(self) -> None:
        """Lets go of what the engine holds."""
        ...


def check_completions(
    drawn: Sequence[Completion], media_ids: Sequence[int], stop_ids: Sequence[int], max_new_tokens: int, vocabulary: int, engine: str
) -> None:
    """Refuses what no policy can be trained on.

    Args:
        drawn: completions of one prompt.
        media_ids: tokens no completion may hold: the forward could not read it again.
        stop_ids: tokens that end a completion.
        max_new_tokens: the longest one.
        vocabulary: number of token ids.
        engine: for the message.

    Raises:
        EngineError: what is wrong with the first bad completion.
    """
    for i, completion in enumerate(drawn):
        ids, logps = completion.token_ids, completion.logps
        if not 1 <= len(ids) <= max_new_tokens:
            raise EngineError(engine, f"completion {i} has {len(ids)} tokens, expected 1 to {max_new_tokens}; check the server's max_model_len and its log")
        if ids.min() < 0 or ids.max() >= vocabulary:
            raise EngineError(engine, f"completion {i} holds token {ids.min()}..{ids.max()}, expected 0..{vocabulary - 1}; it serves another checkpoint")
        if len(media := np.intersect1d(ids, media_ids)):
            raise EngineError(engine, f"completion {i} holds the media token {media[0]}, expected none: media tokens must be suppressed when sampling")
        if np.isin(ids[:-1], stop_ids).any():
            raise EngineError(
                engine, f"completion {i} goes on after a stop token, expected it to end there; the engine's stop tokens differ from ours {stop_ids}"
            )
        if logps.shape != ids.shape or not np.isfinite(logps).all():
            raise EngineError(
                engine, f"completion {i} has log-probabilities of shape {logps.shape} with {int((~np.isfinite(logps)).sum())} not finite, expected {ids.shape}"
            )
        if logps.max() > 1e-3:
            raise EngineError(engine, f"completion {i} has a log-probability of {logps.max():.3g}, expected at most 0")
