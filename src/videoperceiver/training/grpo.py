"""Stage 2: Comparative GRPO (paper 3.3, method section 3).

The step: sample groups on V and V' -> refeed -> score -> advantages (base group-normalised, comparative against its moving
average and never group-centred) -> one forward over the group trees -> clipped surrogate (+ the optional V' term) -> update.
"""

import logging
import time
from dataclasses import dataclass, field
from itertools import accumulate, groupby

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import builder_of, choose_questions, first_tokens
from videoperceiver.errors import SampleError
from videoperceiver.losses.counterfactual import uniform_on_degraded
from videoperceiver.losses.grpo import ComparativeBaseline, combine, group_advantages, grpo_loss
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.tree import Tree
from videoperceiver.progress import stage_progress
from videoperceiver.rewards.base import BaseReward
from videoperceiver.rewards.comparator import comparative_rewards, needs_refeed, statistics
from videoperceiver.runs import Run
from videoperceiver.stages import GrpoConfig
from videoperceiver.training import runtime
from videoperceiver.training.rollouts import Group, refeed, sample_groups

logger = logging.getLogger(__name__)


def run(config: GrpoConfig) -> Run:
    """Trains, resuming from the run directory's last checkpoint; the result is the run's `model` folder."""
    run = Run.open_or_create(config.output, config, stage="grpo", data=config.train)
    if run.finished:
        return run
    saved = runtime.last_checkpoint(run)
    backbone = Backbone.load(saved or config.model.path, **runtime.model_options(config.model))
    optimizer = runtime.build_optimizer(backbone, config.optim)
    store = ClipStore(config.train, backbone.adapter.fit, split="train")
    trainer = Trainer(config, backbone, optimizer, store, run)
    state = runtime.load_state(saved, backbone, optimizer) if saved else {"step": 0, "baseline": {"value": None}}
    trainer.baseline.load_state_dict(state["baseline"])
    run.resume_at(state["step"])
    with stage_progress(f"stage 2 · {run.folder.name}", config.steps, state["step"]) as advance:
        for step in range(state["step"], config.steps):
            metrics = trainer.step(step)
            run.log(step, **metrics)
            advance(f"Q(V) {metrics['q']:.2f}  Q(V') {metrics['q_degraded']:.2f}")
            if (step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps:
                runtime.save_checkpoint(run, backbone, optimizer, step + 1, {"baseline": trainer.baseline.state_dict()}, config.keep_checkpoints)
    backbone.save(run.folder / "model")
    run.finish()
    return run


@dataclass
class Trainer:
    """The stage's state and its step."""

    config: GrpoConfig
    backbone: Backbone
    optimizer: torch.optim.Optimizer
    store: ClipStore
    run: Run
    baseline: ComparativeBaseline = field(init=False)
    base_reward: BaseReward = field(init=False)
    reference: Backbone | None = field(init=False)

    def __post_init__(self):
        self.baseline = ComparativeBaseline(self.config.reward.baseline_decay)
        self.base_reward = BaseReward(self.config.reward.base)
        self.reference = None
        if self.config.beta > 0:
            self.reference = Backbone.load(self.config.model.path, **runtime.model_options(self.config.model)).eval().requires_grad_(False)

    def step(self, step: int) -> dict[str, float]:
        """One update; returns what is logged (paper 3.3's quantities, Q on V and on V' apart)."""
        config, began = self.config, time.perf_counter()
        rng = runtime.step_rng(config.seed, step)
        prompts = self._prompts(step, rng)
        runtime.require_samples(prompts, step, self.run)
        seed = int(rng.integers(2**31))
        self.backbone.eval()
        groups = sample_groups(self.backbone, prompts, config.sampling, seed)
        if config.reward.objective == "comparative":
            groups = refeed(self.backbone, groups, config.sampling, seed=seed)
        sampled = time.perf_counter()
        advantages, rewards = self._advantages(groups)
        self.backbone.train()
        loss, metrics = self._loss(groups, advantages)
        runtime.require_finite(loss, step, [g.sample.id for g in groups], self.run)
        lr = runtime.learning_rate(config.optim, step, config.steps)
        norm = runtime.update(self.backbone, self.optimizer, loss, lr, config.optim.clip_norm)
        done = time.perf_counter()
        return {**rewards, **metrics, "loss": loss.item(), "grad_norm": norm, "lr": lr, "rollout_s": sampled - began, "update_s": done - sampled}

    def _prompts(self, step: int, rng: np.random.Generator) -> list:
        prompts = []
        for index in runtime.batch_indices(len(self.store.samples), self.config.batch_size, self.config.seed, step):
            sample = self.store.samples[index]
            try:
                clip = self.store.clip(sample)
            except SampleError as error:
                self.run.reject(error)
                self.run.check_rejects(self.config.max_reject_rate, seen=len(self.store.samples))
                continue
            prompts.append((sample, clip, choose_questions(sample.questions, self.config.questions_per_clip, rng)))
        return prompts

    def _advantages(self, groups: list[Group]) -> tuple[Tensor, dict[str, float]]:
        """(B, G) advantages: eq. (10), or plain GRPO on r_b + Q where the objective says so or V' can tell nothing.

        That is without a V', and for a static question: V' still shows its answer, so R is 0 for a right one and -b would punish it.
        """
        q, q_degraded = torch.stack([g.quality for g in groups]), torch.stack([g.quality_degraded for g in groups])
        surface = torch.tensor([[self.base_reward(c.text, g.question) for c in g.completions] for g in groups])
        about_event = torch.tensor([[not g.question.static] for g in groups])  # (B, 1)
        compared = about_event & ~q_degraded.isnan().all(dim=1, keepdim=True) & (self.config.reward.objective == "comparative")  # (B, 1)
        base = group_advantages(torch.where(compared, surface, surface + q), self.config.reward.estimator)
        reward = torch.where(compared, comparative_rewards(q, q_degraded), torch.nan)  # (B, G), eq. (8)
        scored = ~reward.isnan()
        b = self.baseline.update(reward[scored].sum().item(), int(scored.sum()))
        advantages = combine(base, reward - b, self.config.reward.alpha, self.config.reward.combine)  # eqs. (9), (10)
        if self.config.sampling.on_refeed_failure == "drop":
            failed = torch.tensor([[t > 0 for t in g.tries] for g in groups]) & needs_refeed(q, q_degraded, self.config.sampling.refeed_when)
            advantages = advantages.masked_fill(failed, torch.nan)
        return advantages, {**statistics(q, q_degraded), "baseline": b, **_refeed_statistics(groups), "base_reward": surface.nanmean().item()}

    def _loss(self, groups: list[Group], advantages: Tensor) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        grown = [
            clip_tree(self.backbone, list(same), config.sampling.instruction, evidence=config.uniform_weight > 0)
            for _, same in groupby(groups, lambda g: g.sample.id)
        ]
        trees = [g.tree for g in grown]
        output = self.backbone(trees)
        first = [0, *accumulate(len(g.completions) for g in grown)]
        index = runtime.roles(
            output, [{node: 1 + first[t] + i for i, node in enumerate(g.completions)} for t, g in enumerate(grown)]
        )  # (N,) 0 = not a completion
        kept = index > 0
        ref = None
        if self.reference is not None:
            with torch.no_grad():
                ref = self.reference(trees).logps[kept]
        old = torch.cat([torch.as_tensor(c.logps) for g in groups for c in g.completions])
        loss, metrics = grpo_loss(
            output.logps[kept],
            old,
            ref,
            advantages.flatten(),
            index[kept] - 1,
            clip_eps=config.clip_eps,
            beta=config.beta,
            normalizer=config.normalizer,
            max_length=config.sampling.max_new_tokens,
        )
        logged = {key: value.item() for key, value in metrics.items()} | {
            "entropy": output.entropy[kept].mean().item(),
            "length": len(old) / advantages.numel(),
        }
        rows = [(output.distributions[t, node][:1], torch.tensor(ids)) for t, g in enumerate(grown) for node, ids in g.evidence]
        if rows:
            distributions, candidates = zip(*rows, strict=True)
            uniform = uniform_on_degraded(torch.cat(distributions), pad_sequence(list(candidates), batch_first=True, padding_value=-1))
            loss, logged["uniform"] = loss + config.uniform_weight * uniform, uniform.item()
        return loss, logged


@dataclass
class ClipTree:
    """One clip's update tree: its groups' completions under the prompts that produced them, and the questions on V' where that term is used.

    Attributes:
        completions: their nodes, group by group.
        evidence: (answer node on V', first tokens of the answer class) of each question about the event.
    """

    tree: Tree
    completions: list[int]
    evidence: list[tuple[int, tuple[int, ...]]]


def clip_tree(backbone: Backbone, groups: list[Group], instruction: str, *, evidence: bool) -> ClipTree:
    """Grows the update tree of one clip's groups."""
    sample, clip = groups[0].sample, groups[0].clip
    about_event = [g.question for g in groups if evidence and sample.degradation is not None and not g.question.static and len(g.question.options) > 1]
    builder = builder_of(backbone, sample, clip, with_degraded=bool(about_event))
    video = builder.video()
    nodes = []
    for group in groups:
        prompts: dict[bool, int] = {}
        for completion, tries in zip(group.completions, group.tries, strict=True):
            refed = tries > 0
            if refed not in prompts:
                prompts[refed] = builder.question(video, group.question.text, instruction=instruction if refed else "")
            nodes.append(builder.answer(prompts[refed], completion.token_ids))
    on_degraded = builder.degraded() if about_event else -1
    asked = [(builder.answer(builder.question(on_degraded, q.text), q.answer, distribution=True), first_tokens(backbone, q.options)) for q in about_event]
    return ClipTree(builder.tree(), nodes, asked)


def _refeed_statistics(groups: list[Group]) -> dict[str, float]:
    """Share of completions drawn again, and how much Q they gained by it (NaN where none was)."""
    again = torch.tensor([t > 0 for g in groups for t in g.tries])
    gain = torch.cat([g.quality - g.first_quality for g in groups])
    return {"refeed_rate": again.float().mean().item(), "refeed_gain": gain[again].nanmean().item()}
