"""Stage 1: supervised fine-tuning with the intermediate-layer contrastive loss (paper 3.2, method section 2).

One clip is one Tree: V with its questions and caption (cross-entropy), V' (hard negative), a second view of V and the keywords.
The step: grow trees -> one forward -> L = L_SFT + lambda (L_vv + L_tv + L_vt) + the two optional V' terms -> update.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from videoperceiver.data import mixture
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import SftLayout, SftTree, draw_questions, sft_tree
from videoperceiver.data.trainable import untrainable
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.losses.queue import Queues
from videoperceiver.models.backbone import Backbone
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import SftConfig
from videoperceiver.training import checkpoints, export, runtime
from videoperceiver.training.held_out import HeldOut
from videoperceiver.training.loader import ClipLoader, open_store
from videoperceiver.training.micro import filler, in_step, micro_batches
from videoperceiver.training.policy import Policy
from videoperceiver.training.run_report import write_report
from videoperceiver.training.sft_loss import SHARES, counts, sft_loss
from videoperceiver.training.throughput import Throughput
from videoperceiver.training.trackers import opened
from videoperceiver.training.world import joined
from videoperceiver.types import Clip, Sample
from videoperceiver.video.degrade import degrade

logger = logging.getLogger(__name__)


def run(config: SftConfig) -> Run:
    """Trains, resuming from the run directory's last checkpoint; the result is the run's `model` folder."""
    with joined() as world:
        run = world.open_run(config, stage="sft", data=config.train)
        if run.finished:
            return run
        policy = Policy.load(
            config.model, config.optim, config.runtime, world, seed=config.seed, contrastive=config.contrastive if config.contrastive.weight > 0 else None
        )
        check_blocks(config, policy.backbone)
        store = open_store(config.train, policy.backbone, config.runtime, split="train")
        listed, refused = len(store.samples), store.refuse(partial(untrainable, captions=config.captions))
        runtime.reject(refused if world.speaks else [], run, world, config.max_reject_rate, seen=listed)
        trainer = Trainer(config, policy, store, run)
        state = checkpoints.resume(run, policy) or checkpoints.State(0)
        trainer.queues.load_state_dict(state.tensors)
        run.resume_at(state.step)
        trainer.train(state.step)
        export.finish(run, policy, config)
        run.finish()
        if world.speaks:
            write_report(run.folder)
    return run


@dataclass
class Trainer:
    """The stage's state and its step."""

    config: SftConfig
    policy: Policy
    store: ClipStore
    run: Run
    queues: Queues = field(init=False)
    loader: ClipLoader = field(init=False)

    def __post_init__(self):
        self.queues = Queues(self.config.contrastive.queue_size, self.config.contrastive.tap_blocks)

    def train(self, start: int) -> None:
        """The steps from `start` on."""
        config, world = self.config, self.policy.world
        held_out = HeldOut(config, self.policy, self.run, tap_block=max(config.contrastive.tap_blocks) if config.contrastive.weight > 0 else 0)
        with (
            ClipLoader(self.store, self._share, first=start, last=config.steps, settings=config.runtime) as self.loader,
            opened(config.runtime.trackers, self.run, config, start=start, speaks=world.speaks) as track,
            stage_progress(f"stage 1 · {self.run.folder.name}", config.steps, start, shown=world.speaks) as advance,
        ):
            for step in range(start, config.steps):
                metrics = self.step(step)
                figures = held_out.measure(step + 1)
                metrics |= figures
                self.run.log(step, **metrics)
                track(step, metrics)
                advance(_told(metrics))
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps or (figures and config.held_out.best_by):
                    self.save(step + 1, figures)

    def save(self, step: int, figures: dict[str, float]) -> None:
        """The checkpoint after `step` updates."""
        tensors, config = self.queues.state_dict(), self.config
        checkpoints.save(self.run, self.policy, step, tensors=tensors, metrics=figures, keep=config.keep_checkpoints, best_by=config.held_out.best_by)

    def step(self, step: int) -> dict[str, float]:
        """One update; returns what is logged."""
        config, world = self.config, self.policy.world
        throughput = Throughput(self.loader, self.policy.backbone)
        grown = self._grow(step, runtime.step_rng(config.seed, step, world.rank))
        batches = in_step(micro_batches([g.tree.num_tokens for g in grown], config.runtime.micro_tokens), world)
        runtime.require_samples(batches, step, self.run)
        totals = {name: total / world.size for name, total in world.sum(counts(grown)).items()}
        parts = []
        for number, chosen in enumerate(batches, 1):
            parts.append(self._accumulate([grown[i] for i in chosen], totals, step, last=number == len(batches)))
            throughput.forward_done()
        lr = runtime.learning_rate(config.optim, step, config.steps)
        norm = self.policy.update(lr, config.optim.clip_norm, [g.sample.id for g in grown])
        metrics = runtime.whole_step(parts, [len(chosen) for chosen in batches], SHARES, world)
        return {**metrics, "grad_norm": norm, "lr": lr, **throughput.figures([g.tree for g in grown], world)}

    def _accumulate(self, grown: list[SftTree], totals: dict[str, float], step: int, *, last: bool) -> dict[str, float]:
        """Adds one micro-batch's gradient; `grown` is empty where other ranks have one more."""
        config = self.config
        trees = [g.tree for g in grown] or [filler(self.policy.backbone)]
        output = self.policy(trees, tuple(config.contrastive.tap_blocks) if config.contrastive.weight > 0 else (), last=last)
        loss, metrics = sft_loss(grown, output, config, totals, step=step, queues=self.queues)
        runtime.require_finite(loss, step, [g.sample.id for g in grown], self.run)
        loss.backward()
        return metrics

    def _batch(self, step: int) -> list[Sample]:
        config = self.config
        indices = mixture.indices(self.store.sizes, config.train_weights, config.seed, step * config.batch_size, config.batch_size)
        return [self.store.samples[i] for i in indices]

    def _share(self, step: int) -> Sequence[Sample]:
        """This rank's clips of a step."""
        return self.policy.world.share(self._batch(step))

    def _grow(self, step: int, rng: np.random.Generator) -> list[SftTree]:
        """This rank's trees of a step. What is random is drawn for the whole batch, so that it depends on neither ranks nor bad clips."""
        layout, grown, errors, draws = sft_layout(self.config), [], [], []
        for sample in self._batch(step):
            draws.append(copy.deepcopy(rng))
            draw_questions(sample, layout, rng)
        for (sample, found), own in zip(self.loader.clips(step), self.policy.world.share(draws), strict=True):
            try:
                if isinstance(found, SampleError):
                    raise found
                shown = with_operator(sample, found, self.config.operator, step)
                grown.append(sft_tree(self.policy.backbone, shown, found, layout, own))
            except SampleError as error:
                errors.append(error)
        runtime.reject(errors, self.run, self.policy.world, self.config.max_reject_rate, seen=len(self.store.samples))
        return grown


def _told(metrics: dict[str, float]) -> str:
    """For the progress line, the most wanted first: a narrow terminal cuts it. Above a tenth of waiting, raise runtime.num_workers."""
    shares = " ".join(f"{name} {metrics[f'{name}_share']:.0%}" for name in ("wait", "vision", "llm", "contrastive"))
    return f"loss {metrics['loss']:.3f} {metrics['clips_per_s']:.3g} clips/s {metrics['video_tokens_per_s']:,.0f} video tokens/s {shares}"


def check_blocks(config: SftConfig, backbone: Backbone) -> None:
    """Refuses tapped blocks that the model does not have, or that its vision features have not all reached. Raises ConfigError."""
    blocks, least, most = config.contrastive.tap_blocks, backbone.adapter.min_depth, backbone.num_blocks
    if config.contrastive.weight > 0 and not least <= max(blocks) <= most:
        raise ConfigError(f"contrastive.tap_blocks is {list(blocks)}, {config.model.path} has {most} blocks; expected the last one in {least}..{most}")


def sft_layout(config: SftConfig) -> SftLayout:
    """What the recipe needs every tree to hold."""
    return SftLayout(
        contrast=config.contrastive.weight > 0,
        view=config.contrastive.vv > 0,
        text=config.contrastive.tv > 0 or config.contrastive.vt > 0,
        concatenated=config.contrastive.layout == "concatenated",
        evidence=config.events.share if config.uniform_weight > 0 or config.joint_weight > 0 else 0.0,
        last_tap=max(config.contrastive.tap_blocks),
        view_dropout=config.contrastive.view_dropout,
        view_where=config.contrastive.view,
        view_gradient=config.contrastive.view_gradient,
        captions=config.captions,
        questions_per_clip=config.questions_per_clip,
        instruction_share=config.instruction_share,
        instruction=config.instruction,
        caption_prompt=config.caption_prompt,
        image_prompt=config.image_prompt,
        max_tokens=config.model.max_tokens,
    )


def with_operator(sample: Sample, clip: Clip, operator: str, seed: int) -> Sample:
    """The sample with V' remade by another operator (ablations); unchanged for "" or where there is no V'."""
    if not operator or sample.degradation is None:
        return sample
    runs = [range(i, i + 1) for i in sample.degradation.replaced_idx]
    made = degrade(len(clip), operator, runs=runs, keyframes_idx=sample.keyframes_idx, seed=sample.seed + seed)  # each clip its own draw
    return replace(sample, degradation=made)
