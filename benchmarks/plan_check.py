"""A plan against what a real step takes: memory and time of a tiny model on this CPU, within 15 %.

Memory: `plan` counts on the meta device; measured are the allocator's own events (torch.profiler) of the second step of the same recipe, beside the bytes of
weights and optimizer. Time: a plan's operations divided by a rate. The rate is measured first, on one recipe (plain fine-tuning, 8 clips: the calibration);
the same rate then predicts recipes it has not seen (another batch, the contrastive loss, V' terms, checkpointing, a frozen tower). Processor seconds of one
thread. The optimizer's own pass over the weights is in the measured time and not in the operations.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.profiler import ProfilerActivity, profile
from tree_common import arguments, medians, report  # first: sets the number of threads

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import sft_tree
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.losses.counterfactual import product_of_experts
from videoperceiver.stages import SftConfig
from videoperceiver.training import runtime
from videoperceiver.training.plan import plan
from videoperceiver.training.plan_gpus import Gpu
from videoperceiver.training.policy import load_backbone
from videoperceiver.training.sft import sft_layout
from videoperceiver.video.degrade import degrade
from videoperceiver.video.keyframes import contiguous, from_spans

GOAL = 0.15
CPU = Gpu("cpu", 0, 1, 1, "this CPU")
CALIBRATION = ("contrastive.weight=0", "batch_size=8")
UNSEEN = {
    "another batch": ("contrastive.weight=0", "batch_size=4"),
    "contrastive": ("batch_size=8",),
    "contrastive and joint": ("batch_size=8", "joint_weight=1"),
    "checkpointing": ("batch_size=8", "model.gradient_checkpointing=true"),
    "frozen tower": ("batch_size=8", "model.freeze_vision=true", "contrastive.weight=0"),
}


def prepare(folder: Path) -> list[str]:
    """A model of some million parameters, eight rendered clips with V', and the fields that every recipe here shares."""
    build_tiny(folder / "model", VOCABULARY, hidden_size=384, num_layers=6, vision_hidden_size=192, vision_depth=3)
    samples = []
    for sample in render_dataset(folder / "clips", num_clips=8, seed=0, split="train", difficulty="bright"):
        idx = from_spans(sample.t_s, sample.spans)
        made = degrade(len(sample.t_s), "hold", runs=contiguous(idx), keyframes_idx=idx)
        samples.append(replace(sample, keyframes_idx=tuple(map(int, idx)), degradation=made))
    manifest.write(samples, folder / "clips/manifest.parquet")
    fields = [f"model.path={folder / 'model'}", f"train=[{folder / 'clips/manifest.parquet'}]", "output=unused", "model.dtype=float32"]
    fields += ["model.freeze_vision=false", "model.gradient_checkpointing=false", "contrastive.tap_blocks=[3]"]
    return [*fields, "instruction_share=0", "caption_prompt=describe the video ."]


def step_of(config: SftConfig) -> tuple[Callable[[], None], Callable[[], int]]:
    """One training step of the recipe, and the bytes that lie there between steps. The loss is a sum that needs every gradient the real one needs."""
    backbone = load_backbone(config.model).train()
    optimizer = runtime.build_optimizer(backbone, config.optim)
    store = ClipStore(config.train, backbone.adapter.fit, split="train")
    layout, taps = sft_layout(config), tuple(config.contrastive.tap_blocks) if config.contrastive.weight > 0 else ()

    def step() -> None:
        rng = np.random.default_rng(0)
        grown = [sft_tree(backbone, sample, store.clip(sample), layout, rng) for sample in store.samples[: config.batch_size]]
        output = backbone([g.tree for g in grown], taps)
        loss = output.logps.mean() + sum(tap.pow(2).mean() for tap in output.taps.values())
        for t, g in enumerate(grown):
            for full, degraded, _ in g.evidence:
                targets = output.distributions[t, full].argmax(-1)
                loss = (
                    loss
                    + product_of_experts(output.distributions[t, full], output.distributions[t, degraded], targets)
                    + output.distributions[t, degraded].mean()
                )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def resting() -> int:
        return sum(p.nbytes for p in backbone.parameters()) + sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.ndim)

    return step, resting


def peak(step: Callable[[], None]) -> float:
    """Most bytes a step adds, by the allocator's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    found: Any = profiler.profiler  # the events' own sizes are not in its stubs
    events = sorted((event.start_ns(), event.nbytes()) for event in found.kineto_results.events() if event.name() == "[memory]")
    return float(np.cumsum([size for _, size in events]).max())


def main() -> None:
    """Measure and report."""
    quick, steps, planned, measured = arguments(__doc__ or "").quick, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        fields = prepare(Path(folder))
        for name, options in {"calibration": CALIBRATION, **UNSEEN}.items():
            config = load(SftConfig, None, [*fields, *options])
            steps[name], resting = step_of(config)
            steps[name]()
            planned[name], measured[name] = plan(config, gpu=CPU), peak(steps[name]) + resting()
        seconds = dict(zip(steps, medians(*steps.values(), repeats=3 if quick else 5, warm=True), strict=True))  # in turns: a slow spell hits all
    rate = planned["calibration"].flops_a_step / seconds["calibration"]
    detail = {
        name: {
            "memory": round(found.memory.total / measured[name], 3),
            "time": round(found.flops_a_step / rate / seconds[name], 3),
            "seconds": round(seconds[name], 3),
            "gflop": round(found.flops_a_step / 1e9, 1),
            "mib": round(measured[name] / 2**20),
        }
        for name, found in planned.items()
    }
    worst = max(abs(row[kind] - 1) for row in detail.values() for kind in ("memory", "time"))
    report("plan_check", worst, GOAL, {"gflop_s": round(rate / 1e9, 1), "planned over measured": detail}, at_most=True)


if __name__ == "__main__":
    main()
