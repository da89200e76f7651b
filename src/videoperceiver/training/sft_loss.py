"""Equation (7): what stage 1 minimises, from one forward over the batch's trees."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from videoperceiver.data.collate import SftTree
from videoperceiver.losses.contrastive import contrastive_losses, keyword_ids
from videoperceiver.losses.counterfactual import product_of_experts, uniform_on_degraded
from videoperceiver.losses.gather import gather_rows, world_size
from videoperceiver.losses.queue import Queues
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.tree import IGNORE
from videoperceiver.stages import ContrastiveConfig, OptimConfig, SftConfig
from videoperceiver.training import runtime

ANSWER, EVENT = 1, 2
"""Roles of trained answers: to questions about the scenery or for the caption; to questions about the event."""
TERMS = ("vv", "tv", "vt")
"""Equations (4), (5), (6), in the order of ContrastiveLosses.total."""
SHARES = ("loss", "ce", "ce_events", "contrastive", *TERMS, "uniform", "joint")
"""Logged values that add up over a step's micro-batches, as the loss does; the others are means."""
ROLES = ("full", "view", "degraded", "text")
"""Of `SftTree`'s tapped nodes, those that a clip may lack last."""


def counts(grown: list[SftTree]) -> dict[str, int]:
    """How many things each mean of the loss runs over: answer tokens, those about the event, contrasted clips, questions on V' and their answer tokens."""
    asked = [(g, on_full) for g in grown for on_full, *_ in g.evidence]
    answers = [(g, node) for g in grown for node in g.answers]
    events = [(g, node) for g in grown for node in g.events]
    return {
        "answers": sum(map(_num_targets, answers)),
        "events": sum(map(_num_targets, events)),
        "clips": sum(g.full is not None for g in grown),
        "questions": len(asked),
        "tokens": sum(map(_num_targets, asked)),
    }


def _num_targets(at: tuple[SftTree, int]) -> int:
    labels = at[0].tree.nodes[at[1]].labels
    return 0 if labels is None else int((labels != IGNORE).sum())


def sft_loss(
    grown: list[SftTree],
    output: TreeOutput,
    config: SftConfig,
    totals: Mapping[str, float] | None = None,
    *,
    step: int | None = None,
    queues: Queues | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Equation (7) with the optional V' terms of method section 7.

    On several ranks the contrastive terms run over the rows of all of them, so every rank must call this equally often.

    Args:
        grown: the trees of this forward.
        output: what it returned for them.
        config: of the stage.
        totals: `counts` of the whole step, summed over micro-batches and ranks and divided by the ranks; None: this forward is the whole step.
            Each mean is weighted by its share of them, so that summing the losses of a step's micro-batches and averaging over ranks gives the whole step's.
        step: where lambda's schedule stands; None: lambda as the recipe says.
        queues: further negatives; this batch's rows join them.
    """
    here = counts(grown)
    whole = totals or here
    share = {name: here[name] / whole[name] if here[name] else 0.0 for name in here}
    roles = runtime.roles(output, [dict.fromkeys(g.answers, ANSWER) | dict.fromkeys(g.events, EVENT) for g in grown])  # (N,)
    answer_nll = -output.logps[roles >= ANSWER].sum() / max(1, whole["answers"])
    loss, metrics = answer_nll, {"ce": answer_nll.item()}
    if config.events.weight > 0:
        event_nll = -output.logps[roles == EVENT].sum() / max(1, whole["events"])
        loss = loss + config.events.weight * event_nll
        metrics["ce_events"] = event_nll.item()
    if config.contrastive.weight > 0:
        weight = contrastive_weight(config, step)
        contrastive, logged = _contrastive(grown, output, config.contrastive, whole["clips"] if totals else None, queues)
        loss = loss + weight * contrastive
        metrics |= logged | ({"lambda": weight} if weight != config.contrastive.weight else {})
    if config.uniform_weight > 0 or config.joint_weight > 0:
        evidence, logged = _evidence(grown, output, config, share)
        loss = loss + evidence
        metrics |= logged or dict.fromkeys(("uniform", "joint") if whole["questions"] else (), 0.0)  # another rank's or micro-batch's
    return loss, {"loss": loss.item(), **metrics}


def contrastive_weight(config: SftConfig, step: int | None) -> float:
    """Lambda of eq. (7) at a step: a schedule of the learning rate's shapes, with a warm-up of its own."""
    settings = config.contrastive
    if step is None:
        return settings.weight
    return runtime.learning_rate(OptimConfig(lr=settings.weight, schedule=settings.schedule, warmup_share=settings.warmup_share), step, config.steps)


@dataclass(frozen=True)
class _Rows:
    """The contrasted clips of all ranks, B in all.

    Attributes:
        index: for each role, (b,) rows of this rank's taps; a role that a clip lacks reads some row, masked by `has`.
        has: (B, 2) bool: V', keywords.
        ids: (B,) keyword ids.
    """

    index: torch.Tensor
    has: torch.Tensor
    ids: torch.Tensor


def _rows(grown: list[SftTree], output: TreeOutput) -> _Rows:
    row = {(int(t), int(n)): i for i, (t, n) in enumerate(output.tap_index.tolist())}
    contrasted = [(t, g) for t, g in enumerate(grown) if g.full is not None]
    nodes = [[row.get((t, getattr(g, role)), -1) for role in ROLES] for t, g in contrasted]
    index = torch.tensor(nodes, dtype=torch.long, device=output.tap_index.device).view(len(contrasted), len(ROLES))
    ids = keyword_ids([g.sample.keywords for _, g in contrasted]).to(index.device)
    known = gather_rows(torch.cat([(index[:, 2:] >= 0).long(), ids[:, None]], dim=1))  # (B, 3)
    return _Rows(index, known[:, :2].bool(), known[:, 2])


def _contrastive(
    grown: list[SftTree], output: TreeOutput, settings: ContrastiveConfig, total_clips: float | None, queues: Queues | None
) -> tuple[torch.Tensor, dict[str, float]]:
    """The bracket of eq. (7), averaged over the tapped blocks; rows without V' or keywords drop only their terms."""
    rows = _rows(grown, output)
    total, logged = output.logps.new_zeros(()), {}
    if len(rows.ids) == 0:  # of no rank
        return total + sum(taps.sum() for taps in output.taps.values()) * 0.0, {"contrastive": 0.0}
    share = 1.0 if total_clips is None else len(rows.ids) / (world_size() * total_clips)
    for block in settings.tap_blocks:
        taps = output.taps[block]  # (num_tapped, D)
        h_v, h_view, h_degraded, h_text = gather_rows(taps[rows.index].flatten(1)).chunk(len(ROLES), dim=1)  # (B, D) each
        queue = queues[block] if queues else None
        losses = contrastive_losses(
            h_v,
            h_view if settings.vv > 0 else None,
            h_degraded,
            h_text,
            has_degraded=rows.has[:, 0],
            has_text=rows.has[:, 1],
            tau=settings.tau,
            ids=rows.ids if settings.mask_same_keywords else None,
            negatives=queue.negatives(taps.device) if queue else None,
        )
        if queue is not None:
            queue.push(h_v, h_degraded, h_text, has_degraded=rows.has[:, 0], has_text=rows.has[:, 1], ids=rows.ids)
        total = total + share * losses.total((settings.vv, settings.tv, settings.vt)) / len(settings.tap_blocks)
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
            targets.append(torch.tensor(g.tree.nodes[on_full].labels, device=output.logps.device))
            candidates.append(torch.tensor(first_tokens, device=output.logps.device))
    zero = output.logps.sum() * 0.0
    if not full:
        return zero, {}
    uniform = (
        uniform_on_degraded(torch.cat(degraded_first), pad_sequence(candidates, batch_first=True, padding_value=-1)) if config.uniform_weight > 0 else zero
    )
    joint = product_of_experts(torch.cat(full), torch.cat(degraded), torch.cat(targets)) if config.joint_weight > 0 else zero
    uniform, joint = share["questions"] * uniform, share["tokens"] * joint
    return config.uniform_weight * uniform + config.joint_weight * joint, {"uniform": uniform.item(), "joint": joint.item()}
