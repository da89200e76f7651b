"""Stage 2: Comparative GRPO (paper 3.3, method section 3).

The step: sample groups on V and V' -> (resample) -> refeed -> score -> advantages (base group-normalised, comparative against its moving average and never
group-centred) -> one forward over the group trees -> clipped surrogate (+ the optional V' terms) -> update -> the engine gets the new weights.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch

from videoperceiver import answers
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import choose_questions
from videoperceiver.errors import EngineError, RewardError, RunError, SampleError
from videoperceiver.losses.grpo import ComparativeBaseline
from videoperceiver.models.backbone import Backbone
from videoperceiver.progress import stage_progress
from videoperceiver.rewards.base import DEFAULT_WEIGHTS, BaseReward
from videoperceiver.rewards.quality import Quality
from videoperceiver.runs import Run
from videoperceiver.scoring.entailment import load_entailment
from videoperceiver.stages import GrpoConfig
from videoperceiver.training import checkpoints, export, runtime
from videoperceiver.training.advantages import Advantages, advantages, lacks_signal
from videoperceiver.training.clock import Clock
from videoperceiver.training.drift import WARNINGS, Drift
from videoperceiver.training.engines.opening import open_engine
from videoperceiver.training.engines.protocol import RolloutEngine
from videoperceiver.training.grpo_loss import ClipTree, clip_tree, step_loss, totals
from videoperceiver.training.held_out import HeldOut
from videoperceiver.training.loader import ClipLoader, open_store
from videoperceiver.training.micro import filler, in_step, micro_batches
from videoperceiver.training.policy import Policy, load_backbone
from videoperceiver.training.rollouts import Group, Prompt, Rollouts
from videoperceiver.training.run_report import write_report
from videoperceiver.training.samples import SampleLog
from videoperceiver.training.scores import Scorer, Scores, record
from videoperceiver.training.sft import with_operator
from videoperceiver.training.trackers import opened
from videoperceiver.training.world import joined
from videoperceiver.types import Question, Sample

logger = logging.getLogger(__name__)
TREE = "tree"
"""Name of the engine that is the trainer itself."""
PHASES = ("vision", "reward", "update", "wait", "other")
"""Of a step's time, beside the rollouts."""


def run(config: GrpoConfig) -> Run:
    """Trains, resuming from the run directory's last checkpoint; the result is the run's `model` folder."""
    with joined() as world:
        run = world.open_run(config, stage="grpo", data=config.train)
        if run.finished:
            return run
        judge = config.reward.entailment
        run.describe(open_answers="proxy: shared words, no NLI model" if judge == "proxy" else f"entailment by {judge}")
        policy = Policy.load(config.model, config.optim, config.runtime, world, seed=config.seed)
        state = checkpoints.resume(run, policy) or checkpoints.State(0)
        if world.size > 1:
            with torch.no_grad():
                policy([filler(policy.backbone)])  # FSDP2 wants a forward of the whole before one of its blocks, and a step begins with decoding
        engine = open_engine(config.engine, policy.backbone, dtype=config.model.dtype, rank=world.rank, world_size=world.size)
        try:
            trainer = Trainer(config, policy, engine, open_store(config.train, policy.backbone, config.runtime, split="train"), run)
            trainer.load_state_dict(state.extra)
            run.resume_at(state.step)
            trainer.train(state.step)
        finally:
            engine.close()
        export.finish(run, policy, config)
        run.finish()
        if world.speaks:
            write_report(run.folder)
    return run


@dataclass
class Trainer:
    """The stage's state and its step."""

    config: GrpoConfig
    policy: Policy
    engine: RolloutEngine
    store: ClipStore
    run: Run
    baseline: ComparativeBaseline = field(init=False)
    scorer: Scorer = field(init=False)
    clock: Clock = field(init=False)
    rollouts: Rollouts = field(init=False)
    loader: ClipLoader = field(init=False)
    reference: Backbone | None = field(init=False, default=None)
    counted: dict[str, int] = field(init=False, default_factory=lambda: {"completions": 0, "failed": 0, "skipped_steps": 0})

    def __post_init__(self):
        config, device = self.config, self.policy.world.device
        self.baseline = ComparativeBaseline(config.reward.baseline_decay)
        self.clock = Clock(device, self.policy.backbone.adapter.vision)
        quality = Quality(load_entailment(config.reward.entailment), both_directions=config.reward.both_directions)
        self.scorer = Scorer(quality, BaseReward(config.reward.base or DEFAULT_WEIGHTS))
        self.rollouts = Rollouts(
            self.engine,
            self.policy.backbone,
            config.sampling,
            config.reward,
            self.clock.timed("reward", self.scorer),
            by_question=config.sampling.stream == "question" or self.policy.world.size > 1 or self.engine.name != TREE,
            max_tokens=config.model.max_tokens,
        )
        if config.beta > 0:
            self.reference = load_backbone(config.model).to(device).eval().requires_grad_(False)

    def train(self, start: int) -> None:
        """The steps from `start` on."""
        config, run, world = self.config, self.run, self.policy.world
        held_out, samples, drift = HeldOut(config, self.policy, run), SampleLog(run, config.watch, start), Drift(config.watch.window)
        warned: set[str] = set()
        for row in run.metrics():
            warned |= drift.see(_plain(row)).keys()
        with (
            ClipLoader(self.store, self._share, first=start, last=config.steps, settings=config.runtime) as self.loader,
            opened(config.runtime.trackers, run, config, start=start, speaks=world.speaks) as track,
            stage_progress(f"stage 2 · {run.folder.name}", config.steps, start, shown=world.speaks) as advance,
        ):
            for step in range(start, config.steps):
                metrics, groups = self.step(step)
                found = drift.see(metrics)
                metrics |= {name: float(name in found) for name in WARNINGS}
                for name in [name for name in found if name not in warned and world.speaks]:
                    logger.warning("step %d: %s", step, found[name])
                warned |= found.keys()
                figures = held_out.measure(step + 1)
                metrics |= figures
                samples.see(step, groups)
                run.log(step, **metrics)
                track(step, metrics)
                advance(_told(metrics))
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps or (figures and config.held_out.best_by):
                    self.save(step + 1, figures)

    def step(self, step: int) -> tuple[dict[str, float], list[Group]]:
        """One step; returns what is logged (paper 3.3's quantities, Q on V and on V' apart) and this process's groups."""
        config = self.config
        with self.clock.phase("other"):
            rng = runtime.step_rng(config.seed, step, self.policy.world.rank)
            prompts = self._prompts(step, rng)
            groups = self._roll(prompts, int(rng.integers(2**31)))
            scores = self._gather(groups, step)
            given = advantages(scores, config, self.baseline)
            with self.clock.phase("update"):
                updated = self._update(groups, scores, given, step)
        return {**given.metrics, **updated, **self._seconds()}, groups

    # drawing

    def _prompts(self, step: int, rng: np.random.Generator) -> list[Prompt]:
        """This process's clips and questions. Questions are chosen for the whole batch, so that they depend on neither processes nor bad clips."""
        world, prompts, errors = self.policy.world, [], []
        chosen = [choose_questions(sample.questions, self.config.questions_per_clip, rng) for sample in self._batch(step)]
        with self.clock.phase("wait"):
            own = list(self.loader.clips(step))
        for at, (sample, found) in zip(range(world.rank, len(chosen), world.size), own, strict=True):
            try:
                if isinstance(found, SampleError):
                    raise found
                _check_references(sample, chosen[at])
                prompts.append(Prompt(at, with_operator(sample, found, self.config.counterfactual.operator, step), found, chosen[at]))
            except SampleError as error:
                errors.append(error)
        runtime.reject(errors, self.run, world, self.config.max_reject_rate, seen=len(self.store.samples))
        return [prompt for prompt in prompts if prompt.questions]

    def _roll(self, prompts: Sequence[Prompt], seed: int) -> list[Group]:
        config = self.config
        with self.clock.phase("rollout"), self.policy.sampling():
            groups = self.rollouts.sample(prompts, seed)
            if config.sampling.no_signal == "resample":
                groups = self.rollouts.resample(groups, seed, lambda some: lacks_signal(Scores.of([record(g) for g in some]), config).tolist())
            if config.reward.objective == "comparative":
                groups = self.rollouts.refeed(groups, seed)
        return groups

    def _gather(self, groups: Sequence[Group], step: int) -> Scores:
        """The scores of all processes; stops a run whose reward rules fail too often."""
        rejects, self.rollouts.rejects[:] = list(self.rollouts.rejects), []
        runtime.reject(rejects, self.run, self.policy.world, self.config.max_reject_rate, seen=len(self.store.samples))
        errors, self.scorer.errors[:] = [[e.reason, e.sample_id] for e in self.scorer.errors], []
        told = self.policy.world.gather({"records": [record(g) for g in groups], "errors": errors})
        for reason, sample_id in (error for rank in told for error in rank["errors"]):
            self.run.reject(RewardError(reason, sample_id=sample_id))
        records = [row for rank in told for row in rank["records"]]
        runtime.require_samples(records, step, self.run)
        scores = Scores.of(records)
        self.counted["completions"] += scores.failed.numel()
        self.counted["failed"] += int(scores.failed.sum())
        allowed = self.config.max_reject_rate * self.counted["completions"]
        if self.counted["failed"] > max(allowed, 1 if self.config.max_reject_rate else 0):
            first = next((reason for rank in told for reason, _ in rank["errors"]), "see rejects.jsonl")
            raise RunError(
                f"reward rules failed on {self.counted['failed']} of {self.counted['completions']} completions, more than "
                f"max_reject_rate={self.config.max_reject_rate:g} allows. For instance: {first}. All are in {self.run.folder / 'rejects.jsonl'}: mend the rule "
                "and run the same command again, or raise max_reject_rate"
            )
        return scores

    # learning

    def _update(self, groups: Sequence[Group], scores: Scores, given: Advantages, step: int) -> dict[str, float]:
        """`num_iterations` updates on the step's rollouts; none where nothing tells better from worse."""
        config, world = self.config, self.policy.world
        whole = totals(scores, given, config, world.size)
        learns = not given.tell_nothing or (config.beta > 0 and whole["full"] > 0)
        learns = learns or (config.uniform_weight > 0 and whole["uniform"] > 0) or (config.counterfactual.kl_weight > 0 and whole["kl"] > 0)
        if not learns:
            self.counted["skipped_steps"] += 1
            return {"skipped_steps": float(self.counted["skipped_steps"])}
        rows = {key: i for i, key in enumerate(_keys(scores.at.tolist()))}
        local = list(zip(groups, [rows[key] for key in _keys([g.at for g in groups])], strict=True))
        grown = []
        for _, same in groupby(local, lambda pair: pair[0].at):
            of_clip, at = zip(*same, strict=True)
            grown.append(clip_tree(self.policy.backbone, of_clip, at, config, given.degraded))
        batches = in_step(micro_batches([g.tree.num_tokens for g in grown], config.runtime.micro_tokens), world)
        lr, names = runtime.learning_rate(config.optim, step, config.steps), _logged_terms(config)
        logged = dict.fromkeys(names, float("nan"))
        for iteration in range(config.num_iterations):
            parts = [self._accumulate([grown[i] for i in own], given, whole, step, last=n == len(batches)) for n, own in enumerate(batches, 1)]
            told = names if iteration == 0 else [name for name in names if name != "mismatch"]
            sums = world.sum({name: sum(part.get(name, 0.0) for part in parts) for name in told})
            logged |= {name: total / world.size for name, total in sums.items()}
            self._require_match(logged["mismatch"], step)
            logged["grad_norm"] = self.policy.update(lr, config.optim.clip_norm)
        self.engine.sync(self.policy.backbone)
        return logged | {"lr": lr, "skipped_steps": float(self.counted["skipped_steps"])}

    def _accumulate(self, grown: list[ClipTree], given: Advantages, whole: dict[str, float], step: int, *, last: bool) -> dict[str, float]:
        """Adds one micro-batch's gradient; `grown` is empty where other processes have one more."""
        trees = [g.tree for g in grown] or [filler(self.policy.backbone)]
        output = self.policy(trees, last=last)
        if not grown:
            (output.logps.sum() * 0.0).backward()
            return {}
        ref_logps = None
        if self.reference is not None:
            with torch.no_grad(), self.policy.autocast():
                ref_logps = self.reference(trees).logps
        loss, logged = step_loss(grown, output, ref_logps, given, whole, self.config, correct=self.engine.name != TREE)
        runtime.require_finite(loss, step, [g.sample.id for tree in grown for g in tree.groups], self.run)
        loss.backward()
        return {"loss": loss.item(), **logged}

    def _require_match(self, mismatch: float, step: int) -> None:
        """Refuses to learn from completions that another policy drew."""
        if mismatch > self.config.engine.max_mismatch:
            raise EngineError(
                self.engine.name,
                f"its log-probabilities differ from the trainer's by {mismatch:.3g} nats a token in step {step}, more than "
                f"engine.max_mismatch={self.config.engine.max_mismatch:g}: it holds other weights, sees other frames or another prompt. The weights are "
                "untouched; restart the engine and run the same command again",
            )

    # state

    def save(self, step: int, figures: dict[str, float]) -> None:
        """The checkpoint after `step` updates."""
        extra, config = {"baseline": self.baseline.state_dict(), "counted": self.counted}, self.config
        checkpoints.save(self.run, self.policy, step, extra=extra, metrics=figures, keep=config.keep_checkpoints, best_by=config.held_out.best_by)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint's JSON state; an empty one is the beginning."""
        if state:
            self.baseline.load_state_dict(state["baseline"])
            self.counted = dict(state["counted"])

    def _batch(self, step: int) -> list[Sample]:
        indices = runtime.batch_indices(len(self.store.samples), self.config.batch_size, self.config.seed, step)
        return [self.store.samples[i] for i in indices]

    def _share(self, step: int) -> list[Sample]:
        """This process's clips of a step."""
        return self._batch(step)[self.policy.world.rank :: self.policy.world.size]

    def _seconds(self) -> dict[str, float]:
        """Where the step's time went, on this process; one prefill and one decoding serve V and V', their time is shared out by tokens."""
        spent, tokens = self.clock.take(), dict(self.rollouts.tokens)
        self.rollouts.tokens.update(dict.fromkeys(tokens, 0))
        share = tokens["V'"] / max(1, sum(tokens.values()))
        rollout = spent.pop("rollout", 0.0)
        phases = {"rollout_full": rollout * (1 - share), "rollout_degraded": rollout * share} | {name: spent.get(name, 0.0) for name in PHASES}
        return {f"{name}_s": seconds for name, seconds in phases.items()} | {"step_s": sum(phases.values())}


def _logged_terms(config: GrpoConfig) -> list[str]:
    """Names of what an update logs, the same on all processes."""
    terms = {
        "kl": config.beta > 0,
        "vneg": config.counterfactual.vneg_weight > 0,
        "uniform": config.uniform_weight > 0,
        "capped_kl": config.counterfactual.kl_weight > 0,
    }
    return ["loss", "ratio", "clip_fraction", "kept", "entropy", "mismatch", *(name for name, on in terms.items() if on)]


def _check_references(sample: Sample, questions: Sequence[Question]) -> None:
    """Raises SampleError where a reference answer itself cannot be read: no completion could be scored against it."""
    for question in questions:
        try:
            answers.compare(question.answer, question.answer, question.kind, question.options)
        except SampleError as error:
            raise SampleError(f"question {question.id!r}: {error.reason}", sample_id=sample.id) from error


def _keys(places: Sequence[int]) -> list[tuple[int, int]]:
    """(place in the batch, number of the question there) of groups in order."""
    seen: dict[int, int] = {}
    keys = []
    for at in places:
        seen[at] = seen.get(at, -1) + 1
        keys.append((at, seen[at]))
    return keys


def _told(metrics: Mapping[str, float]) -> str:
    """For the progress line, the most wanted first: a narrow terminal cuts it."""
    names = {"vision": "vision", "rollout_full": "V", "rollout_degraded": "V'", "reward": "reward", "update": "update", "wait": "wait"}
    shares = " ".join(f"{said} {metrics[f'{name}_s'] / metrics['step_s']:.0%}" for name, said in names.items())
    return f"Q(V) {metrics['q']:.2f} Q(V') {metrics['q_degraded']:.2f} {metrics['step_s']:.2g} s a step: {shares}"


def _plain(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of metrics.jsonl without the stage's name in its keys."""
    return {name.removeprefix("grpo/"): value for name, value in row.items()}
