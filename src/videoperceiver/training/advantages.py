"""Equations (8)-(10) on a step's scores: what each completion's log-probability is weighed by, and what is logged of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from videoperceiver.losses.grpo import ComparativeBaseline, combine, evidence_weights, group_advantages, vneg_advantages
from videoperceiver.rewards.comparator import comparative_rewards, needs_refeed, no_signal, statistics, temporal_bonus
from videoperceiver.stages import GrpoConfig
from videoperceiver.training.scores import Scores


@dataclass(frozen=True)
class Advantages:
    """What the update is given.

    Attributes:
        full: (B, G) of the completions on V, NaN = left out.
        degraded: (B, G) of those on V', NaN = left out; None unless vneg is on.
        metrics: what is logged.
    """

    full: Tensor
    degraded: Tensor | None
    metrics: dict[str, float]

    @property
    def tell_nothing(self) -> bool:
        """Whether no completion is worth more or less than another: a clipped surrogate without any gradient."""
        parts = [self.full] if self.degraded is None else [self.full, self.degraded]
        return not any(part.nan_to_num(nan=0.0).any() for part in parts)


def advantages(scores: Scores, config: GrpoConfig, baseline: ComparativeBaseline) -> Advantages:
    """Eq. (10), or plain GRPO on r_b + Q where the objective says so or V' can tell nothing.

    That is without a V', and for a static question: V' still shows its answer, so R is 0 for a right one and -b would punish it.
    """
    q, q_degraded = scores.quality, scores.quality_degraded
    summed, compared = _rewards(scores, config)
    base = group_advantages(summed, config.reward.estimator)
    reward = torch.where(compared & ~scores.failed, comparative_rewards(q, q_degraded), torch.nan)  # (B, G), eq. (8)
    scored = ~reward.isnan()
    b = baseline.update(reward[scored].sum().item(), int(scored.sum()))
    full = combine(base, reward - b, config.reward.alpha, config.reward.combine)  # eqs. (9), (10)
    left_out = scores.failed
    if config.sampling.on_refeed_failure == "drop":
        left_out = left_out | ((scores.tries > 0) & needs_refeed(q, q_degraded, config.sampling.refeed_when))
    skipped = lacks_signal(scores, config) if config.sampling.no_signal != "keep" else torch.zeros(len(scores), dtype=torch.bool)
    full = full.masked_fill(left_out | skipped[:, None], torch.nan)
    v_terms = config.counterfactual
    if v_terms.evidence_strength > 0:
        full = full * torch.where(scores.about_event, evidence_weights(q, q_degraded, v_terms.evidence_strength), 1.0)
    degraded = None
    if v_terms.vneg_weight > 0:
        pushed = scores.about_event & (scores.degraded_lengths > 0)
        degraded = vneg_advantages(q_degraded, v_terms.vneg_weight).where(pushed, torch.nan)
    return Advantages(full, degraded, {**_logged(scores, config), "baseline": b, "skipped": skipped.float().mean().item()})


def lacks_signal(scores: Scores, config: GrpoConfig) -> Tensor:
    """(B,) bool: groups whose rewards are all equal. Group-normalised they have no gradient; the un-centred comparative term still has one."""
    summed, compared = _rewards(scores, config)
    reward = comparative_rewards(scores.quality, scores.quality_degraded).masked_fill(scores.failed, torch.nan)
    return no_signal(summed) & (~compared[:, 0] | no_signal(reward))


def _rewards(scores: Scores, config: GrpoConfig) -> tuple[Tensor, Tensor]:
    """(B, G) what is normalised in the group, and (B, 1) whether eq. (8) judges it too."""
    q, q_degraded = scores.quality, scores.quality_degraded
    known = ~q_degraded.isnan().all(dim=1, keepdim=True)  # (B, 1)
    compared = ~scores.static[:, None] & known & (config.reward.objective == "comparative")
    summed = torch.where(compared, scores.surface, scores.surface + q)
    if config.reward.objective == "t_grpo":
        summed = summed + torch.where(scores.about_event, temporal_bonus(q, q_degraded, config.reward.alpha), 0.0)
    return summed, compared


def _logged(scores: Scores, config: GrpoConfig) -> dict[str, float]:
    """Paper 3.3's quantities: Q on V and on V' apart, what refeed did, what was counted; NaN where nothing was."""
    asked = torch.full_like(scores.quality, torch.nan) if config.reward.comparator == "none" else scores.quality_degraded
    again = scores.tries > 0
    gain = (scores.quality - scores.first_quality)[again]
    name = "q_open_proxy" if config.reward.entailment == "proxy" else "q_open"
    return {
        **statistics(scores.quality, asked),
        "refeed_rate": again.float().mean().item(),
        "refeed_gain": gain.nanmean().item(),
        "base_reward": scores.surface.nanmean().item(),
        "failed_rewards": scores.failed.float().mean().item(),
        "without_twin": (~scores.twin).float().mean().item(),
        "redrawn": (scores.draws > 1).float().mean().item(),
        "length": scores.lengths.float().mean().item(),
        **({name: scores.quality[scores.is_open].nanmean().item()} if scores.is_open.any() else {}),
    }
