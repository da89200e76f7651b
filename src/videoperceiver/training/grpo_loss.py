"""What stage 2 minimises: the clipped surrogate over the groups' completions, and the terms that put V' into the gradient (method section 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from videoperceiver.data.collate import builder_of, first_tokens
from videoperceiver.losses.counterfactual import capped_kl, uniform_on_degraded
from videoperceiver.losses.grpo import grpo_loss, importance_weights
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.tree import Tree
from videoperceiver.stages import GrpoConfig
from videoperceiver.training import runtime
from videoperceiver.training.advantages import Advantages
from videoperceiver.training.rollouts import Group
from videoperceiver.training.scores import Scores


@dataclass
class ClipTree:
    """One clip's update tree: its groups' completions under the prompts that produced them, and what the V' terms ask.

    Attributes:
        groups: of the clip.
        rows: (groups,) where their scores lie in the step's.
        completions: nodes of the completions on V, group by group.
        degraded: nodes of those on V' that are pushed down, and which (row, completion) each is.
        asked: for each question about the event, the reference answer's node on V' (and on V for the capped KL, else -1) and its class's first tokens.
        old_logps: (N,) of the completions' tokens under the trainer's weights that drew them, once the first forward told them.
    """

    tree: Tree
    groups: list[Group]
    rows: list[int]
    completions: list[int]
    degraded: dict[int, tuple[int, int]]
    asked: list[tuple[int, int, tuple[int, ...]]]
    old_logps: Tensor | None = None

    @property
    def engine_logps(self) -> Tensor:
        """(N,) log-probabilities of the completions' tokens as the engine reported them, V first."""
        drawn = [c for g in self.groups for c in g.completions]
        by_row = dict(zip(self.rows, self.groups, strict=True))
        return torch.cat([torch.as_tensor(c.logps) for c in drawn + [by_row[row].degraded[i] for row, i in self.degraded.values()]])


def clip_tree(backbone: Backbone, groups: Sequence[Group], rows: Sequence[int], config: GrpoConfig, pushed: Tensor | None = None) -> ClipTree:
    """Grows the update tree of one clip's groups.

    Args:
        backbone: whose layout is used.
        groups: of one clip.
        rows: where their scores lie.
        config: of the stage.
        pushed: (B, G) advantages of the completions on V'; those that are 0 or NaN are not grown, for they have no gradient.
    """
    v_terms, sample = config.counterfactual, groups[0].sample
    wants_asked = sample.degradation is not None and (config.uniform_weight > 0 or v_terms.kl_weight > 0)
    asked = [g.question for g in groups if wants_asked and not g.question.static and (v_terms.kl_weight > 0 or len(g.question.options) > 1)]
    down = [] if pushed is None else [(row, i) for row in rows for i in pushed[row].nan_to_num(nan=0.0).nonzero()[:, 0].tolist()]
    builder = builder_of(backbone, sample, groups[0].clip, with_degraded=bool(asked or down))
    video, completions = builder.video(), []
    for group in groups:
        prompts: dict[bool, int] = {}
        for completion, tries in zip(group.completions, group.tries, strict=True):
            refed = tries > 0
            if refed not in prompts:
                prompts[refed] = builder.question(video, group.question.text, instruction=config.sampling.instruction if refed else "")
            completions.append(builder.answer(prompts[refed], completion.token_ids))
    on_degraded = builder.degraded() if asked or down else -1
    by_row, questions, degraded = dict(zip(rows, groups, strict=True)), {}, {}
    for row, i in down:
        if row not in questions:
            questions[row] = builder.question(on_degraded, by_row[row].question.text)
        degraded[builder.answer(questions[row], by_row[row].degraded[i].token_ids)] = (row, i)
    reference = []
    for q in asked:
        on_full = builder.answer(builder.question(video, q.text), q.answer, distribution=True) if v_terms.kl_weight > 0 else -1
        twin = builder.answer(builder.question(on_degraded, q.text), q.answer, distribution=True)
        reference.append((twin, on_full, first_tokens(backbone, q.options) if len(q.options) > 1 else ()))
    return ClipTree(builder.tree(), list(groups), list(rows), completions, degraded, reference)


def totals(scores: Scores, given: Advantages, config: GrpoConfig, ranks: int) -> dict[str, float]:
    """What each mean of the loss runs over in the whole step, divided by the ranks, over whose gradients the mean is taken afterwards."""
    event, kept = scores.about_event[:, 0], ~given.full.isnan()
    found = {
        "full": _denominator(kept, scores.lengths, config.normalizer),
        "degraded": 0.0 if given.degraded is None else _denominator(~given.degraded.isnan(), scores.degraded_lengths, config.normalizer),
        "uniform": float((event & (scores.classes > 1)).sum()),
        "kl": float(event.sum()),
        "kept_tokens": float(scores.lengths[kept].sum()),
        "tokens": float(scores.lengths.sum()),
        "completions": float(kept.numel()),
    }
    return {name: value / ranks for name, value in found.items()}


def _denominator(kept: Tensor, lengths: Tensor, normalizer: str) -> float:
    """As in `losses.grpo.grpo_loss`, over the whole step."""
    if normalizer == "dapo":
        return float(lengths[kept].sum())
    return float(kept.sum()) if normalizer == "dr_grpo" else float((kept & (lengths > 0)).sum())


def step_loss(
    grown: Sequence[ClipTree], output: TreeOutput, ref_logps: Tensor | None, given: Advantages, whole: dict[str, float], config: GrpoConfig, *, correct: bool
) -> tuple[Tensor, dict[str, float]]:
    """A micro-batch's share of the step's loss; the shares add up over micro-batches, and their mean over ranks is the whole step's.

    Args:
        grown: the trees of this forward.
        output: what it returned for them.
        ref_logps: (all tokens of `output`) under the reference model; None without KL.
        given: advantages of the whole step.
        whole: `totals` of the step.
        config: of the stage.
        correct: another engine than the trainer drew the completions: the ratio is taken to the trainer's own log-probabilities, and truncated
            importance sampling weighs each token.

    Returns:
        The loss, and shares of what is logged.
    """
    roles = _roles(grown, output)  # (all tokens,) 0 = no completion, 1 + i on V, -1 - j on V'
    drawn = roles != 0
    roles, logps, engine = roles[drawn], output.logps[drawn], torch.cat([g.engine_logps for g in grown]).to(output.logps.device)  # (N,), in one order
    first = grown[0].old_logps is None
    old, weights = _corrected(grown, logps, engine, config.engine.tis_cap) if correct else (engine, None)
    common = {"clip_eps": config.clip_eps, "clip_eps_high": config.clip_eps_high, "normalizer": config.normalizer, "max_length": config.sampling.max_new_tokens}
    on_full = roles > 0
    advantage = given.full[[row for g in grown for row in g.rows]].flatten().to(logps.device)  # (C,)
    loss, found = grpo_loss(
        logps[on_full],
        old[on_full],
        None if ref_logps is None else ref_logps[drawn][on_full],
        advantage,
        roles[on_full] - 1,
        beta=config.beta,
        token_weights=None if weights is None else weights[on_full],
        denominator=whole["full"],
        **common,
    )
    tokens, kept = int(on_full.sum()), int((~advantage.isnan()[roles[on_full] - 1]).sum())
    logged = {name: _share(value, kept, whole["kept_tokens"]) for name, value in found.items() if name != "kept"}
    logged["kept"] = _share(found["kept"], len(advantage), whole["completions"])
    logged["entropy"] = _share(output.entropy[drawn][on_full].mean(), tokens, whole["tokens"])
    if first:
        logged["mismatch"] = _share((logps.detach() - engine)[on_full].abs().mean(), tokens, whole["tokens"])
    if given.degraded is not None:
        pushed = torch.stack([given.degraded[at] for g in grown for at in g.degraded.values()] or [given.degraded.new_zeros(())]).to(logps.device)
        on_degraded = ~on_full
        down, _ = grpo_loss(
            logps[on_degraded],
            old[on_degraded],
            None,
            pushed,
            -1 - roles[on_degraded],
            token_weights=None if weights is None else weights[on_degraded],
            denominator=whole["degraded"],
            **common,
        )
        loss, logged["vneg"] = loss + down, down.item()
    terms, more = _v_terms(grown, output, whole, config)
    for weight, value in terms:
        loss = loss + weight * value
    return loss, logged | more


def _roles(grown: Sequence[ClipTree], output: TreeOutput) -> Tensor:
    first = [0, *accumulate(len(g.completions) for g in grown)]
    down = [0, *accumulate(len(g.degraded) for g in grown)]
    return runtime.roles(
        output,
        [
            {node: 1 + first[t] + i for i, node in enumerate(g.completions)} | {node: -1 - down[t] - j for j, node in enumerate(g.degraded)}
            for t, g in enumerate(grown)
        ],
    )


def _corrected(grown: Sequence[ClipTree], logps: Tensor, engine: Tensor, cap: float) -> tuple[Tensor, Tensor | None]:
    """The trainer's log-probabilities before its first update on these rollouts, and the weights of truncated importance sampling."""
    if grown[0].old_logps is None:
        for g, part in zip(grown, logps.detach().split([len(g.engine_logps) for g in grown]), strict=True):
            g.old_logps = part
    old = torch.cat([g.old_logps for g in grown if g.old_logps is not None])
    return old, importance_weights(old, engine, cap) if cap > 0 else None


def _v_terms(grown: Sequence[ClipTree], output: TreeOutput, whole: dict[str, float], config: GrpoConfig) -> tuple[list[tuple[float, Tensor]], dict[str, float]]:
    """The uniform term and the capped KL, each with its weight; the reference answer is read on V' with gradient, on V without."""
    terms: list[tuple[float, Tensor]] = []
    asked = [(output.distributions[t, twin], output.distributions.get((t, full)), ids) for t, g in enumerate(grown) for twin, full, ids in g.asked]
    classes = [(twin[:1], torch.tensor(ids, device=twin.device)) for twin, _, ids in asked if ids]
    if config.uniform_weight > 0 and classes:
        distributions, candidates = zip(*classes, strict=True)
        uniform = uniform_on_degraded(torch.cat(distributions), pad_sequence(list(candidates), batch_first=True, padding_value=-1))
        terms.append((config.uniform_weight, uniform * (len(classes) / whole["uniform"])))
    pairs = [(full.detach(), twin) for twin, full, _ in asked if full is not None]
    if pairs:
        full, degraded = zip(*pairs, strict=True)
        answer = torch.arange(len(pairs)).repeat_interleave(torch.tensor([len(x) for x in full])).to(full[0].device)
        kl = capped_kl(torch.cat(full), torch.cat(degraded), config.counterfactual.kl_cap, answer)
        terms.append((config.counterfactual.kl_weight, kl * (len(pairs) / whole["kl"])))
    names = (["uniform"] if config.uniform_weight > 0 and classes else []) + (["capped_kl"] if pairs else [])
    return terms, {name: value.item() for name, (_, value) in zip(names, terms, strict=True)}


def _share(mean: Tensor, count: int, whole: float) -> float:
    """What a mean over `count` things adds to that over the whole step; NaN where the step has none."""
    if whole == 0:
        return float("nan")
    return mean.item() * count / whole if count else 0.0
