"""Stage 1: supervised fine-tuning with the intermediate-layer contrastive loss (paper 3.2, method section 2).

One clip is one Tree: V with its questions and caption (cross-entropy), V' (hard negative), a second view of V and the keywords.
The step: grow trees -> one forward -> L = L_SFT + lambda (L_vv + L_tv + L_vt) + the two optional V' terms -> update.
"""

import logging
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import SftLayout, SftTree, sft_tree
from videoperceiver.errors import SampleError
from videoperceiver.models.backbone import Backbone
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import SftConfig
from videoperceiver.training import runtime
from videoperceiver.training.sft_loss import sft_loss
from videoperceiver.types import Clip, Sample
from videoperceiver.video.degrade import degrade

logger = logging.getLogger(__name__)


def run(config: SftConfig) -> Run:
    """Trains, resuming from the run directory's last checkpoint; the result is the run's `model` folder."""
    run = Run.open_or_create(config.output, config, stage="sft", data=config.train)
    if run.finished:
        return run
    saved = runtime.last_checkpoint(run)
    backbone = Backbone.load(saved or config.model.path, **runtime.model_options(config.model)).train()
    optimizer = runtime.build_optimizer(backbone, config.optim)
    start = runtime.load_state(saved, backbone, optimizer)["step"] if saved else 0
    store = ClipStore(config.train, backbone.adapter.fit, split="train")
    run.resume_at(start)
    trainer = Trainer(config, backbone, optimizer, store, run)
    with stage_progress(f"stage 1 · {run.folder.name}", config.steps, start) as advance:
        for step in range(start, config.steps):
            metrics = trainer.step(step)
            run.log(step, **metrics)
            advance(f"loss {metrics['loss']:.3f}")
            if (step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps:
                runtime.save_checkpoint(run, backbone, optimizer, step + 1, {}, config.keep_checkpoints)
    backbone.save(run.folder / "model")
    run.finish()
    return run


@dataclass
class Trainer:
    """The stage's state and its step."""

    config: SftConfig
    backbone: Backbone
    optimizer: torch.optim.Optimizer
    store: ClipStore
    run: Run

    def step(self, step: int) -> dict[str, float]:
        """One update; returns what is logged."""
        config, began = self.config, time.perf_counter()
        rng = runtime.step_rng(config.seed, step)
        grown = self._grow(step, rng)
        runtime.require_samples(grown, step, self.run)
        ready = time.perf_counter()
        output = self.backbone([g.tree for g in grown], tap_blocks=tuple(config.contrastive.tap_blocks) if config.contrastive.weight > 0 else ())
        loss, metrics = sft_loss(grown, output, config)
        runtime.require_finite(loss, step, [g.sample.id for g in grown], self.run)
        lr = runtime.learning_rate(config.optim, step, config.steps)
        norm = runtime.update(self.backbone, self.optimizer, loss, lr, config.optim.clip_norm)
        done = time.perf_counter()
        return {
            **metrics,
            "grad_norm": norm,
            "lr": lr,
            "clips": len(grown),
            "tokens": sum(g.tree.num_tokens for g in grown),
            "wait_s": ready - began,
            "step_s": done - began,
        }

    def _grow(self, step: int, rng: np.random.Generator) -> list[SftTree]:
        layout = sft_layout(self.config)
        grown = []
        for index in runtime.batch_indices(len(self.store.samples), self.config.batch_size, self.config.seed, step):
            sample = self.store.samples[index]
            try:
                clip = self.store.clip(sample)
                grown.append(sft_tree(self.backbone, with_operator(sample, clip, self.config.operator, step), clip, layout, rng))
            except SampleError as error:
                self.run.reject(error)
                self.run.check_rejects(self.config.max_reject_rate, seen=len(self.store.samples))
        return grown


def sft_layout(config: SftConfig) -> SftLayout:
    """What the recipe needs every tree to hold."""
    return SftLayout(
        contrast=config.contrastive.weight > 0,
        evidence=config.uniform_weight > 0 or config.joint_weight > 0,
        last_tap=max(config.contrastive.tap_blocks),
        view_dropout=config.contrastive.view_dropout,
        captions=config.captions,
        questions_per_clip=config.questions_per_clip,
        instruction_share=config.instruction_share,
        instruction=config.instruction,
        caption_prompt=config.caption_prompt,
        max_tokens=config.model.max_tokens,
    )


def with_operator(sample: Sample, clip: Clip, operator: str, seed: int) -> Sample:
    """The sample with V' remade by another operator (ablations); unchanged for "" or where there is no V'."""
    if not operator or sample.degradation is None:
        return sample
    runs = [range(i, i + 1) for i in sample.degradation.replaced_idx]
    made = degrade(len(clip), operator, runs=runs, keyframes_idx=sample.keyframes_idx, seed=sample.seed + seed)  # each clip its own draw
    return replace(sample, degradation=made)
