"""Equation (7): what stage 1 minimises, from one forward over the batch's trees."""

from collections.abc import Mapping

import torch
from torch.nn.utils.rnn import pad_sequence

from videoperceiver.data.collate import SftTree
from videoperceiver.losses.contrastive import contrastive_losses, keyword_ids
from videoperceiver.losses.counterfactual import product_of_experts, uniform_on_degraded
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.tree import IGNORE
from videoperceiver.stages import SftConfig
from videoperceiver.training import runtime

ANSWER = 1
TERMS = ("vv", "tv", "vt")
"""Equations (4), (5), (6), in the order of ContrastiveLosses.total."""


def counts(grown: list[SftTree]) -> dict[str, int]:
    """How many things each mean of the loss runs over: answer tokens, clips, questions asked on V' and their answer tokens."""
    asked = [(g, on_full) for g in grown for on_full, *_ in g.evidence]
    answers = [(g, node) for g in grown for node in g.answers]
    return {"answers": sum(map(_num_targets, answers)), "clips": len(grown), "questions": len(asked), "tokens": sum(map(_num_targets, asked))}


def _num_targets(at: tuple[SftTree, int]) -> int:
    labels = at[0].tree.nodes[at[1]].labels
    return 0 if labels is None else int((labels != IGNORE).sum())


def sft_loss(grown: list[SftTree], output: TreeOutput, config: SftConfig, totals: Mapping[str, float] | None = None) -> tuple[torch.Tensor, dict[str, float]]:
    """Equation (7) with the optional V' terms of method section 7.

    Args:
        grown: the trees of this forward.
        output: what it returned for them.
        config: of the stage.
        totals: `counts` of the whole step, summed over micro-batches and ranks and divided by the ranks; None: this forward is the whole step.
            Each mean is weighted by its share of them, so that summing the losses of a step's micro-batches and averaging over ranks gives the whole step's.
    """
    here = counts(grown)
    whole = totals or here
    share = {name: here[name] / whole[name] if here[name] else 0.0 for name in here}
    roles = runtime.roles(output, [dict.fromkeys(g.answers, ANSWER) for g in grown])  # (N,)
    answer_nll = -output.logps[roles == ANSWER].sum() / max(1, whole["answers"])
    loss, metrics = answer_nll, {"ce": answer_nll.item()}
    if config.contrastive.weight > 0:
        contrastive, logged = _contrastive(grown, output, config, share["clips"])
        loss = loss + config.contrastive.weight * contrastive
        metrics |= logged
    if config.uniform_weight > 0 or config.joint_weight > 0:
        evidence, logged = _evidence(grown, output, config, share)
        loss = loss + evidence
        metrics |= logged
    return loss, {"loss": loss.item(), **metrics}


def _contrastive(grown: list[SftTree], output: TreeOutput, config: SftConfig, share: float) -> tuple[torch.Tensor, dict[str, float]]:
    """The bracket of eq. (7), averaged over the tapped blocks; rows without V' or keywords drop only their terms."""
    settings = config.contrastive
    row = {(int(t), int(n)): i for i, (t, n) in enumerate(output.tap_index.tolist())}
    ids = keyword_ids([g.sample.keywords for g in grown])
    nodes = {role: [row.get((t, getattr(g, role)), -1) for t, g in enumerate(grown)] for role in ("full", "view", "degraded", "text")}
    total, logged = output.logps.new_zeros(()), {}
    weights = (float("vv" in settings.terms), float("tv" in settings.terms), float("vt" in settings.terms))
    for block in settings.tap_blocks:
        taps = output.taps[block]  # (num_tapped, D)
        h = {role: taps[torch.tensor(index)] for role, index in nodes.items()}  # (B, D); -1 reads the last row, masked below
        losses = contrastive_losses(
            h["full"],
            h["view"],
            h["degraded"],
            h["text"],
            has_degraded=torch.tensor(nodes["degraded"]) >= 0,
            has_text=torch.tensor(nodes["text"]) >= 0,
            tau=settings.tau,
            ids=ids,
        )
        total = total + share * losses.total(weights) / len(settings.tap_blocks)
        parts = dict(zip(TERMS, (losses.video_video, losses.text_video, losses.video_text), strict=True))
        logged |= {
            f"{name}_b{block}" if len(settings.tap_blocks) > 1 else name: value.item()
            for name, value in ({name: share * value for name, value in parts.items()} | losses.metrics).items()
        }
    return total, {"contrastive": total.item(), **logged}


def _evidence(grown: list[SftTree], output: TreeOutput, config: SftConfig, share: Mapping[str, float]) -> tuple[torch.Tensor, dict[str, float]]:
    """The two terms that put V' into the answers' gradient (method section 7), over all questions about events."""
    full, degraded, targets, degraded_first, candidates = [], [], [], [], []
    for t, g in enumerate(grown):
        for on_full, on_degraded, first_tokens in g.evidence:
            full.append(output.distributions[t, on_full])  # (n, V)
            degraded.append(output.distributions[t, on_degraded])
            degraded_first.append(degraded[-1][:1])
            targets.append(torch.tensor(g.tree.nodes[on_full].labels))
            candidates.append(torch.tensor(first_tokens))
    zero = output.logps.sum() * 0.0
    if not full:
        return zero, {}
    uniform = (
        uniform_on_degraded(torch.cat(degraded_first), pad_sequence(candidates, batch_first=True, padding_value=-1)) if config.uniform_weight > 0 else zero
    )
    joint = product_of_experts(torch.cat(full), torch.cat(degraded), torch.cat(targets)) if config.joint_weight > 0 else zero
    uniform, joint = share["questions"] * uniform, share["tokens"] * joint
    return config.uniform_weight * uniform + config.joint_weight * joint, {"uniform": uniform.item(), "joint": joint.item()}
