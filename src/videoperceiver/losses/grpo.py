"""Advantages and the clipped surrogate of comparative GRPO (paper 3.3, eqs. 9 and 10).

Groups are (B, G) tensors; NaN marks what could not be scored and is never read as 0. Tokens are flat, as a Tree returns them:
(N,) values and a (N,) `completion` index, so that ragged completions need no padding and no mask.
"""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["grpo", "dr_grpo"]
Normalizer = Literal["grpo", "dapo", "dr_grpo", "gspo"]


def group_advantages(rewards: Tensor, estimator: Estimator = "grpo", eps: float = 1e-4) -> Tensor:
    """How much better a completion is than its group (DeepSeekMath, arXiv 2402.03300; Dr. GRPO, arXiv 2503.20783).

    Args:
        rewards: (B, G), NaN where unscored.
        estimator: "grpo" (r - mean) / (std + eps) with the n-1 standard deviation; "dr_grpo" r - mean.
        eps: keeps a group without spread finite (its advantages are 0).

    Returns:
        (B, G), NaN where the reward is NaN; mean and std are over the scored completions of the group. A single scored one gets 0.
    """
    scored = ~rewards.isnan()
    count = scored.sum(dim=1, keepdim=True)  # (B, 1)
    centred = rewards - rewards.nansum(dim=1, keepdim=True) / count.clamp(min=1)  # (B, G)
    if estimator == "dr_grpo":
        return centred
    if estimator != "grpo":
        raise ValueError(f"estimator is {estimator!r}, expected 'grpo' or 'dr_grpo'")
    std = (centred.where(scored, 0.0).square().sum(dim=1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()  # (B, 1)
    return centred / (std + eps)


class ComparativeBaseline:
    """The b of eq. (9): an exponential moving average of past batch means of R, saved in the checkpoint.

    Args:
        decay: weight of the past, in [0, 1).
    """

    def __init__(self, decay: float = 0.9):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected 0 <= decay < 1")
        self.decay = decay
        self.value: float | None = None

    def update(self, total: float, count: float) -> float:
        """The b to subtract from this batch, which then joins the average.

        Args:
            total: sum of R over the scored completions of all ranks.
            count: how many those are; 0 changes nothing.

        Returns:
            The average of the batches before this one; the first batch's own mean for the first (an initial 0 would reward or punish
            whole batches until the average caught up); 0.0 if nothing has ever been scored.
        """
        if count == 0:
            return 0.0 if self.value is None else self.value
        mean = total / count
        baseline = mean if self.value is None else self.value
        self.value = mean if self.value is None else self.decay * self.value + (1 - self.decay) * mean
        return baseline

    def state_dict(self) -> dict[str, float | None]:
        """For the checkpoint."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Go on from a checkpoint."""
        self.value = state["value"]


def combine(base: Tensor, comparative: Tensor, alpha: float, mode: Literal["add", "convex"] = "add") -> Tensor:
    """Eq. (10): A_b + alpha A_c ("add") or its other reading, (1 - alpha) A_b + alpha A_c ("convex").

    Args:
        base: (B, G) group advantages of the base reward, NaN where unscored.
        comparative: (B, G) R - b, NaN where unscored. Never group-centred: see docs/method.md.
        alpha: weight of the comparative part.
        mode: which reading.

    Returns:
        (B, G). Where one part is NaN the other stands alone; where both are, the result is NaN and `grpo_loss` leaves the completion out.
    """
    if mode not in ("add", "convex"):
        raise ValueError(f"mode is {mode!r}, expected 'add' or 'convex'")
    base_weight = 1.0 if mode == "add" else 1.0 - alpha
    total = base_weight * base.nan_to_num(nan=0.0) + alpha * comparative.nan_to_num(nan=0.0)
    return total.masked_fill(base.isnan() & comparative.isnan(), float("nan"))


def evidence_weights(q: Tensor, q_degraded: Tensor, strength: float) -> Tensor:
    """Weights of a group's advantages that grow with what the event is worth to its answers.

    Args:
        q: (B, G) Q on V, NaN where unscored.
        q_degraded: (B, G') Q on V', NaN where unscored.
        strength: weight per unit of mean Q(V) - mean Q(V').

    Returns:
        (B, 1) weights max(0, 1 + strength * gap); 1 where a side has no score.
    """
    gap = q.nanmean(dim=1, keepdim=True) - q_degraded.nanmean(dim=1, keepdim=True)
    return (1.0 + strength * gap).clamp(min=0.0).nan_to_num(nan=1.0)


def vneg_advantages(q_degraded: Tensor, weight: float = 0.5) -> Tensor:
    """Advantages for completions on V': right answers that cannot have been seen are discouraged, wrong ones left alone.

    Args:
        q_degraded: (B, G') Q on V' in [0, 1], NaN where unscored.
        weight: size of the push.

    Returns:
        (B, G') -weight * Q, NaN where unscored (left out of the loss).
    """
    return -weight * q_degraded


def importance_weights(old_logps: Tensor, engine_logps: Tensor, cap: float) -> Tensor:
    """Truncated importance sampling between the trainer and the engine that sampled: min(exp(old - engine), cap), per token.

    Args:
        old_logps: (N,) under the trainer's weights at sampling time.
        engine_logps: (N,) as the engine reported them.
        cap: the truncation, at least 1.

    Returns:
        (N,) without gradient; multiply into `grpo_loss` as `token_weights`.
    """
    return (old_logps - engine_logps).detach().exp().clamp(max=cap)


def _per_completion(values: Tensor, completion: Tensor, num_completions: int) -> Tensor:
    """(C,) sums of flat token values (N,)."""
    return values.new_zeros(num_completions).index_add(0, completion, values)


def _importance_ratio(logps: Tensor, old_logps: Tensor, completion: Tensor, lengths: Tensor, normalizer: Normalizer) -> Tensor:
    """(N,) pi / pi_old per token, or of the whole sequence (length-normalised, arXiv 2507.18071) repeated on each of its tokens."""
    log_ratio = logps - old_logps
    if normalizer == "gspo":
        log_ratio = (_per_completion(log_ratio, completion, len(lengths)) / lengths.clamp(min=1))[completion]
    return log_ratio.exp()


def _reduce(
    losses: Tensor, completion: Tensor, lengths: Tensor, kept: Tensor, normalizer: Normalizer, max_length: int | None, denominator: float | None
) -> Tensor:
    """Scalar from (N,) token losses, see `grpo_loss`."""
    if normalizer in ("grpo", "gspo"):
        per_token, default = 1.0 / lengths.clamp(min=1)[completion], float((kept & (lengths > 0)).sum())
    elif normalizer == "dapo":
        per_token, default = torch.ones_like(losses), float(lengths[kept].sum())
    else:
        if max_length is None:
            raise ValueError("normalizer 'dr_grpo' divides by a constant length: pass max_length, the largest number of new tokens")
        per_token, default = torch.full_like(losses, 1.0 / max_length), float(kept.sum())
    total = (losses * per_token).where(kept[completion], 0.0).sum()
    return total / max(default if denominator is None else denominator, 1e-12)


def grpo_loss(
    logps: Tensor,
    old_logps: Tensor,
    ref_logps: Tensor | None,
    advantages: Tensor,
    completion: Tensor,
    *,
    clip_eps: float = 0.2,
    clip_eps_high: float | None = None,
    beta: float = 0.0,
    normalizer: Normalizer = "grpo",
    max_length: int | None = None,
    token_weights: Tensor | None = None,
    denominator: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate with KL to the reference model, over C completions of N tokens in all.

    A token's loss is -min(r A, clip(r, 1 - clip_eps, 1 + clip_eps_high) A) + beta k3, with k3 = exp(ref - logp) - (ref - logp) - 1.
    Completions whose advantage is NaN are left out of the sum and of what it is divided by.

    Args:
        logps: (N,) under the policy, with gradient.
        old_logps: (N,) under the policy that sampled.
        ref_logps: (N,) under the reference model; may be None where beta is 0.
        advantages: (C,).
        completion: (N,) long, which completion a token belongs to, 0 <= i < C.
        clip_eps: lower clip.
        clip_eps_high: upper clip (clip-higher of DAPO); None: clip_eps.
        beta: weight of the KL.
        normalizer: "grpo" mean over a completion's tokens, then over completions; "dapo" mean over all tokens; "dr_grpo" sum over tokens
            / (C * max_length); "gspo" as "grpo" with the sequence's ratio in place of the token's.
        max_length: of "dr_grpo".
        token_weights: (N,) multiplies the surrogate, not the KL; see `importance_weights`.
        denominator: replaces the number of completions ("grpo", "gspo", "dr_grpo") or tokens ("dapo"). On W ranks pass the global number
            / W, so that averaging gradients gives the single-process one; with accumulated micro-batches the whole step's number.

    Returns:
        The scalar loss, and detached scalars over the tokens of kept completions (NaN if none): `kl` (k3 against the reference; absent
        without one), `ratio`, `clip_fraction` (tokens whose clipped term is the active one), `kept` (share of completions).

    Raises:
        ValueError: shapes differ, beta without a reference, or an unknown normalizer.
    """
    _check_tokens(logps, old_logps, ref_logps, completion, beta, normalizer)
    kept = ~advantages.isnan()  # (C,)
    lengths = torch.bincount(completion, minlength=len(advantages))  # (C,)
    advantage = advantages.nan_to_num(nan=0.0)[completion]  # (N,)
    ratio = _importance_ratio(logps, old_logps, completion, lengths, normalizer)
    clipped = ratio.clamp(1 - clip_eps, 1 + (clip_eps if clip_eps_high is None else clip_eps_high))
    surrogate = torch.minimum(ratio * advantage, clipped * advantage)
    losses = -surrogate if token_weights is None else -surrogate * token_weights
    active = kept[completion]
    is_clipped = clipped * advantage < ratio * advantage
    metrics = {"ratio": ratio.detach()[active].mean(), "clip_fraction": is_clipped[active].float().mean(), "kept": kept.float().mean()}
    if ref_logps is not None:
        kl = (ref_logps - logps).exp() - (ref_logps - logps) - 1
        losses = losses + beta * kl
        metrics["kl"] = kl.detach()[active].mean()
    return _reduce(losses, completion, lengths, kept, normalizer, max_length, denominator), metrics


def _check_tokens(logps: Tensor, old_logps: Tensor, ref_logps: Tensor | None, completion: Tensor, beta: float, normalizer: str) -> None:
    if normalizer not in ("grpo", "dapo", "dr_grpo", "gspo"):
        raise ValueError(f"normalizer is {normalizer!r}, expected 'grpo', 'dapo', 'dr_grpo' or 'gspo'")
    if beta and ref_logps is None:
        raise ValueError(f"beta is {beta} but ref_logps is None: pass the reference model's log-probabilities or beta=0")
    for name, values in (("old_logps", old_logps), ("ref_logps", ref_logps), ("completion", completion)):
        if values is not None and values.shape != logps.shape:
            raise ValueError(f"{name} has shape {tuple(values.shape)}, expected that of logps, {tuple(logps.shape)}")
