"""The comparator of paper 3.3: is an answer on V better than one on V' (eq. 8), and which answers are worth a second try.

Q lies in [0, 1]. NaN is what could not be scored: it stays NaN and is masked later, never read as 0.
What eq. (8) does and does not do to the gradient is proved in docs/method.md.
"""

from typing import Literal

from torch import Tensor

RIGHT = 0.5
"""Q from here on counts as right in statistics (closed questions have 0 or 1, entailment a probability)."""

T_GRPO_SHARE = 0.8
"""Of T-GRPO: its mu."""


def _partner(q: Tensor, q_degraded: Tensor) -> Tensor:
    """(B, G): y'_i of the same index where the groups are equally large, else the mean over the scored V' completions."""
    if q.ndim != 2 or q_degraded.ndim != 2 or len(q) != len(q_degraded):
        raise ValueError(f"q has shape {tuple(q.shape)} and q_degraded {tuple(q_degraded.shape)}, expected (B, G) and (B, G') with the same B")
    if q.shape == q_degraded.shape:
        return q_degraded
    return q_degraded.nanmean(dim=1, keepdim=True).expand_as(q)


def comparative_rewards(q: Tensor, q_degraded: Tensor) -> Tensor:
    """Eq. (8): R_i = Q(y_i, y*) - Q(y'_i, y*).

    Args:
        q: (B, G) Q of the completions on V.
        q_degraded: (B, G') Q of those on V'; G' = 1 with the expected comparator pi(y*|V', q). A prompt without V' has NaN.

    Returns:
        (B, G) in [-1, 1], NaN where either side is.
    """
    return q - _partner(q, q_degraded)


def temporal_bonus(q: Tensor, q_degraded: Tensor, bonus: float) -> Tensor:
    """T-GRPO's reward for using the order of frames (Video-R1, arXiv 2503.21776), the rival to eq. (8): V' is then the shuffled clip.

    Args:
        q: (B, G) Q on V, NaN where unscored.
        q_degraded: (B, G') Q on V'.
        bonus: what a right answer gets more, where the group does at least `T_GRPO_SHARE` as well as the one on V'.

    Returns:
        (B, G): `bonus` or 0; 0 where Q is NaN or a side has no score.
    """
    better = q.nanmean(dim=1, keepdim=True) >= T_GRPO_SHARE * q_degraded.nanmean(dim=1, keepdim=True)  # (B, 1), False for NaN
    return bonus * (better & (q >= RIGHT)).to(q.dtype)


def needs_refeed(q: Tensor, q_degraded: Tensor, when: Literal["wrong", "literal"] = "wrong") -> Tensor:
    """Which completions are sampled again with the refeed instruction.

    Args:
        q: (B, G).
        q_degraded: (B, G').
        when: "literal" R <= 0, which also refeeds a right answer whose partner is right; "wrong" Q(y) <= Q(y') and Q(y) < 1.

    Returns:
        (B, G) bool; False where Q is NaN on either side, for then nothing is known.
    """
    if when not in ("wrong", "literal"):
        raise ValueError(f"when is {when!r}, expected 'wrong' or 'literal'")
    behind = q <= _partner(q, q_degraded)
    return behind if when == "literal" else behind & (q < 1)


def no_signal(rewards: Tensor) -> Tensor:
    """(B,) bool: groups whose scored rewards (B, G) are all equal, or fewer than two; group-normalised they give no gradient."""
    scored = ~rewards.isnan()
    largest = rewards.masked_fill(~scored, float("-inf")).amax(dim=1)
    smallest = rewards.masked_fill(~scored, float("inf")).amin(dim=1)
    return (largest <= smallest) | (scored.sum(dim=1) < 2)


def statistics(q: Tensor, q_degraded: Tensor) -> dict[str, float]:
    """What is logged each step about a batch of groups; NaN where nothing was scored.

    Returns:
        q, q_degraded: means of the scored completions, apart (a policy can raise R by getting worse on V').
        comparative: mean R.
        both_right, both_wrong: shares of the scored pairs.
        no_signal: share of groups whose q has no spread.
        unscored: share of completions on V that could not be scored.
    """
    partner = _partner(q, q_degraded)
    pairs = ~(q.isnan() | partner.isnan())
    right, right_degraded = q[pairs] >= RIGHT, partner[pairs] >= RIGHT
    return {
        "q": q.nanmean().item(),
        "q_degraded": q_degraded.nanmean().item(),
        "comparative": (q - partner).nanmean().item(),
        "both_right": (right & right_degraded).float().mean().item(),
        "both_wrong": (~right & ~right_degraded).float().mean().item(),
        "no_signal": no_signal(q).float().mean().item(),
        "unscored": q.isnan().float().mean().item(),
    }
