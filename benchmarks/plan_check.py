"""A plan against what a real step takes: memory and time of a tiny model on this CPU, within 15 %.

Memory: `plan` counts on the meta device; measured are the allocator's own events (torch.profiler) of the second step of the same recipe, beside the bytes of
weights and optimizer. Time: a plan's operations by part, each by the line that this part follows, and what a step costs besides. The lines are measured on
parts alone, never on a whole step: the tower forward and with its backward, the decoder the same over features that are given, on plain trees of one clip and
of four; the optimizer; growing a tree. Every recipe is then predicted from them, none is fitted. Parts and steps are timed in turns, in processor seconds of
one thread.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from videoperceiver.models.tree import Tree
from videoperceiver.stages import SftConfig
from videoperceiver.training import plan_trees, runtime
from videoperceiver.training.plan import plan
from videoperceiver.training.plan_gpus import Gpu
from videoperceiver.training.policy import load_backbone
from videoperceiver.training.sft import sft_layout
from videoperceiver.video.degrade import degrade
from videoperceiver.video.keyframes import contiguous, from_spans

GOAL = 0.15
CPU = Gpu("cpu", 0, 1, 1, "this CPU")
BATCH = 4
PLAIN = ("contrastive.weight=0",)
RECIPES = {
    "plain": PLAIN,
    "another batch": (*PLAIN, f"batch_size={BATCH // 2}"),
    "contrastive": (),
    "contrastive and joint": ("joint_weight=1",),
    "checkpointing": ("model.gradient_checkpointing=true",),
    "frozen tower": (*PLAIN, "model.freeze_vision=true"),
}
TOWER, DECODER = "vision tower", "decoder"


def prepare(folder: Path) -> list[str]:
    """A model of some million parameters, four rendered clips with V', and the fields that every recipe here shares."""
    build_tiny(folder / "model", VOCABULARY, hidden_size=384, num_layers=6, vision_hidden_size=192, vision_depth=3)
    samples = []
    for sample in render_dataset(folder / "clips", num_clips=BATCH, seed=0, split="train", difficulty="bright"):
        idx = from_spans(sample.t_s, sample.spans)
        made = degrade(len(sample.t_s), "hold", runs=contiguous(idx), keyframes_idx=idx)
        samples.append(replace(sample, keyframes_idx=tuple(map(int, idx)), degradation=made))
    manifest.write(samples, folder / "clips/manifest.parquet")
    fields = [f"model.path={folder / 'model'}", f"train=[{folder / 'clips/manifest.parquet'}]", "output=unused", "model.dtype=float32"]
    fields += ["model.freeze_vision=false", "model.gradient_checkpointing=false", "contrastive.tap_blocks=[3]", f"batch_size={BATCH}"]
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


@dataclass(frozen=True)
class Line:
    """Seconds of a part by its operations, through two measured points."""

    first: tuple[float, float]
    second: tuple[float, float]

    def at(self, operations: float) -> float:
        """Seconds."""
        (x, y), (other_x, other_y) = self.first, self.second
        return y + (operations - x) * (other_y - y) / (other_x - x)


@dataclass(frozen=True)
class Alone:
    """Each part of a plain step alone.

    Attributes:
        ways: what to time: `grow`, `optimizer`, and (part, clips, "forward" or "both").
        operations: forward operations of each (part, clips).
    """

    ways: dict[Any, Callable[[], object]]
    operations: dict[tuple[str, int], float]

    def lines(self, seconds: dict[Any, float]) -> dict[tuple[str, str], Line]:
        """Forward and backward of each part."""
        found = {}
        for part in (TOWER, DECODER):
            forward, both = ([seconds[part, clips, way] for clips in (1, BATCH)] for way in ("forward", "both"))
            x = [self.operations[part, clips] for clips in (1, BATCH)]
            found[part, "forward"] = Line((x[0], forward[0]), (x[1], forward[1]))
            found[part, "backward"] = Line((2 * x[0], both[0] - forward[0]), (2 * x[1], both[1] - forward[1]))
        return found


def parts_of(config: SftConfig) -> Alone:
    """The parts of a step of this recipe, over its first clip and over all."""
    backbone = load_backbone(config.model).train()
    optimizer = runtime.build_optimizer(backbone, config.optim)
    store, layout = ClipStore(config.train, backbone.adapter.fit, split="train"), sft_layout(config)
    clips = [(sample, store.clip(sample)) for sample in store.samples[:BATCH]]

    def grow() -> list[Tree]:
        rng = np.random.default_rng(0)
        return [sft_tree(backbone, sample, clip, layout, rng).tree for sample, clip in clips]

    every = grow()
    for weight in backbone.parameters():
        weight.grad = torch.zeros_like(weight)
    ways: dict[Any, Callable[[], object]] = {"grow": grow, "optimizer": optimizer.step}
    operations = {}
    for number in (1, BATCH):
        trees = every[:number]
        features = torch.no_grad()(backbone.features)(trees)
        assert features is not None
        given = features.map(lambda x: x.requires_grad_())

        def tower(trees: list[Tree] = trees) -> torch.Tensor:
            return backbone.features(trees).tokens.sum()  # type: ignore[union-attr]

        def decoder(trees: list[Tree] = trees, given: Any = given) -> torch.Tensor:
            return backbone._run(trees, (), given).logps.mean()

        for name, part in ((TOWER, tower), (DECODER, decoder)):
            ways[name, number, "forward"] = torch.no_grad()(part)
            ways[name, number, "both"] = lambda part=part: part().backward()
        whole = sum((plan_trees.forward_flops(backbone, tree)[0] for tree in trees), plan_trees.NONE)  # type: ignore[arg-type]
        padded = whole.only("language") + plan_trees.padding_flops(backbone, trees)[0]  # type: ignore[arg-type]
        operations |= {(TOWER, number): whole.vision, (DECODER, number): padded.forward}
    return Alone(ways, operations)


def predict(config: SftConfig, lines: dict[tuple[str, str], Line], seconds: dict[Any, float]) -> float:
    """Seconds of a recipe's step from its plan and the parts alone."""
    model, total = config.model, seconds["grow"] * config.batch_size / BATCH + seconds["optimizer"]
    found, once = (plan(replace(config, model=replace(model, gradient_checkpointing=again)), gpu=CPU) for again in (model.gradient_checkpointing, False))
    for part in (TOWER, DECODER):
        whole, bare = (p.operations[TOWER] if part == TOWER else p.flops_a_step - p.operations[TOWER] for p in (found, once))
        trained = part == DECODER or not model.freeze_vision
        ahead = bare / 3 if trained else bare
        total += lines[part, "forward"].at(ahead)
        total += lines[part, "backward"].at(2 * ahead) if trained else 0.0
        total += lines[part, "forward"].at(whole - bare) if whole > bare else 0.0
    return total


def main() -> None:
    """Measure and report."""
    quick, configs, steps, planned, measured = arguments(__doc__ or "").quick, {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        fields = prepare(Path(folder))
        for name, options in RECIPES.items():
            configs[name] = config = load(SftConfig, None, [*fields, *options])
            steps[name], resting = step_of(config)
            steps[name]()
            planned[name], measured[name] = plan(config, gpu=CPU), peak(steps[name]) + resting()
        alone = parts_of(configs["plain"])
        ways: dict[Any, Callable[[], object]] = alone.ways | steps
        seconds = dict(zip(ways, medians(*ways.values(), repeats=5 if quick else 15), strict=True))  # in turns: a slow spell hits all
        lines = alone.lines(seconds)
        predicted = {name: predict(config, lines, seconds) for name, config in configs.items()}
    detail = {
        name: {
            "memory": round(found.memory.total / measured[name], 3),
            "time": round(predicted[name] / seconds[name], 3),
            "seconds": round(seconds[name], 3),
            "gflop": round(found.flops_a_step / 1e9, 1),
            "mib": round(measured[name] / 2**20),
        }
        for name, found in planned.items()
    }
    worst = max(abs(row[kind] - 1) for row in detail.values() for kind in ("memory", "time"))
    speed = {f"{part} {way}": round(1e-9 / (line.at(1.0) - line.at(0.0)), 1) for (part, way), line in lines.items()}
    besides = {f"{name}_ms": round(1e3 * seconds[name], 1) for name in ("grow", "optimizer")}
    report("plan_check", worst, GOAL, {"gflop_s": speed, **besides, "planned over measured": detail}, at_most=True)


if __name__ == "__main__":
    main()
