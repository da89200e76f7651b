"""The trees that a recipe's step grows, by the stages' own code, and what they cost in operations."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from transformers import PretrainedConfig

from videoperceiver.data.collate import SftTree, builder_of, choose_questions, sft_tree
from videoperceiver.models import flops
from videoperceiver.models.attention import choose
from videoperceiver.models.flops import Flops
from videoperceiver.models.generate import Completion
from videoperceiver.models.meta import MetaBackbone
from videoperceiver.models.tree import IGNORE, Tree
from videoperceiver.stages import GrpoConfig, SftConfig
from videoperceiver.training.grpo_loss import clip_tree
from videoperceiver.training.plan_workload import Material, Workload
from videoperceiver.training.rollouts import Group
from videoperceiver.training.sft import sft_layout
from videoperceiver.types import Clip, Question, Sample

NONE = Flops(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rollout:
    """What is sampled for one clip: one prefill, then completions of every leaf.

    Attributes:
        name: "V and V'" or "refeed".
        tree: with its questions as leaves.
        full, degraded: leaves on V and on V'.
        copies: completions a leaf.
        times: how often on average; refeed's tries are fractions.
    """

    name: str
    tree: Tree
    full: list[int]
    degraded: list[int]
    copies: int
    times: float = 1.0


@dataclass
class Planned:
    """One clip's part of a step.

    Attributes:
        update: the tree that is trained on.
        pairs: (answer node on V, the same on V') whose distributions the loss needs.
        rollouts: what is sampled before.
    """

    update: Tree
    pairs: list[tuple[int, int]] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)


def sft_planned(backbone: MetaBackbone, config: SftConfig, material: Material) -> list[Planned]:
    """Stage 1's trees, one a sample."""
    layout, rng = sft_layout(config), np.random.default_rng(config.seed)
    grown: list[SftTree] = [sft_tree(backbone, sample, clip, layout, rng) for sample, clip in material.samples]
    return [Planned(g.tree, [(full, degraded) for full, degraded, _ in g.evidence]) for g in grown]


def grpo_planned(backbone: MetaBackbone, config: GrpoConfig, material: Material, workload: Workload) -> list[Planned]:
    """Stage 2's trees: of the rollouts on V and V', of refeed, and of the update."""
    rng = np.random.default_rng(config.seed)
    return [
        _group(backbone, config, sample, clip, choose_questions(sample.questions, config.questions_per_clip, rng), workload)
        for sample, clip in material.samples
    ]


def completion_tokens(config: GrpoConfig, workload: Workload) -> int:
    """Tokens of a completion: as assumed, else as many as the recipe allows."""
    return min(workload.completion_tokens or config.sampling.max_new_tokens, config.sampling.max_new_tokens)


def _group(backbone: MetaBackbone, config: GrpoConfig, sample: Sample, clip: Clip, questions: Sequence[Question], workload: Workload) -> Planned:
    sampling, compared = config.sampling, sample.degradation is not None and config.reward.comparator == "sampled"
    copies = sampling.num_generations
    builder = builder_of(backbone, sample, clip)
    videos = [builder.video()] + ([builder.degraded()] if compared else [])
    leaves = [[builder.question(video, q.text) for q in questions] for video in videos]
    rollouts = [Rollout("V and V'" if compared else "V", builder.tree(), leaves[0], leaves[1] if compared else [], copies)]
    if config.reward.objective == "comparative" and sampling.max_refeed:
        builder = builder_of(backbone, sample, clip, with_degraded=False)
        again = [builder.question(builder.video(), q.text, instruction=sampling.instruction) for q in questions]
        times = sum(workload.refeed_share**attempt for attempt in range(1, sampling.max_refeed + 1))
        rollouts.append(Rollout("refeed", builder.tree(), again, [], copies, times))
    return Planned(*_update(backbone, config, sample, clip, questions, completion_tokens(config, workload)), rollouts)


def _update(
    backbone: MetaBackbone, config: GrpoConfig, sample: Sample, clip: Clip, questions: Sequence[Question], tokens: int
) -> tuple[Tree, list[tuple[int, int]]]:
    """The stage's own update tree of completions that long, all of them kept, and on V' all pushed down where that is done."""
    copies, zeros = config.sampling.num_generations, torch.zeros(config.sampling.num_generations)
    drawn = [Completion(np.ones(tokens, np.int64), np.zeros(tokens, np.float32), "", True)] * copies
    groups = [Group(0, sample, clip, q, drawn, drawn, [0] * copies, zeros, zeros, zeros, zeros, zeros > 0) for q in questions]
    vneg = sample.degradation is not None and config.counterfactual.vneg_weight > 0
    grown = clip_tree(backbone, groups, range(len(groups)), config, torch.full((len(groups), copies), -1.0) if vneg else None)
    return grown.tree, [(twin if full < 0 else full, twin) for twin, full, _ in grown.asked]


# --- operations ---


def forward_flops(backbone: MetaBackbone, tree: Tree) -> tuple[Flops, Flops]:
    """One forward over a tree, with its early exits: what is trained, and what runs without gradient."""
    config = backbone.adapter.model.config
    runs = [(len(node), node.parent) for node in tree.nodes]
    scored = sum(int((node.labels != IGNORE).sum()) * (1 + node.distribution) for node in tree.nodes if node.labels is not None)
    dense = choose(backbone.attention, tree.num_tokens, backbone.device) == "dense"
    short = {"short_exits": not dense and not any(node.attention_dropout for node in tree.nodes)}
    whole = flops.tree(config, runs, grid=_grid(config, tree), patches=len(tree.patches), scored=scored, depths=tree.depth.tolist(), **short)
    aside = [i for i, node in enumerate(tree.nodes) if not node.gradient]  # roots without children
    apart = flops.language_by_node(config, [(len(tree.nodes[i]), -1) for i in aside], [int(tree.depth[i]) for i in aside], 0, **short)
    return whole - apart, apart


def padding_flops(backbone: MetaBackbone, trees: Sequence[Tree]) -> tuple[Flops, Flops]:
    """What dense attention runs beyond these trees' tokens and visible pairs, laid out together: padding and masked pairs; trained and without gradient."""
    if choose(backbone.attention, max(tree.num_tokens for tree in trees), backbone.device) != "dense":
        return NONE, NONE
    config, needed = backbone.adapter.model.config, [forward_flops(backbone, tree) for tree in trees]
    found = []
    for side, gradient in enumerate((True, False)):
        parts = [part for part, kept in (tree.part(gradient=gradient) for tree in trees) if len(kept)]
        stages = backbone.layout(parts)[0].stages if parts else []
        tokens, pairs = (sum((s.stop - s.first) / backbone.num_blocks * s.rows * s.width**power for s in stages) for power in (1, 2))
        own = sum((one[side] for one in needed), NONE).only("language")
        found.append(replace(flops.language(config, tokens, pairs, 0) - own, head=0.0))
    return found[0], found[1]


def plain_flops(backbone: MetaBackbone, tree: Tree) -> Flops:
    """The trained branches of V alone: what plain fine-tuning of the same questions and caption would run in the same tree."""
    answers = [i for i, node in enumerate(tree.nodes) if node.labels is not None]
    trunk = tree.path(answers[0])[:-2] if answers else []
    kept = [leaf for leaf in answers if tree.path(leaf)[:-2] == trunk]
    scored = sum(len(tree.nodes[leaf]) for leaf in kept)
    return prefill_flops(backbone, tree, kept) + flops.language(backbone.adapter.model.config, 0, 0, scored - len(kept))


def prefill_flops(backbone: MetaBackbone, tree: Tree, leaves: Sequence[int]) -> Flops:
    """One prefill of what leads to these leaves."""
    config, kept = backbone.adapter.model.config, sorted({i for leaf in leaves for i in tree.path(leaf)})
    new = {old: i for i, old in enumerate(kept)} | {-1: -1}
    runs = [(len(tree.nodes[i]), new[tree.nodes[i].parent]) for i in kept]
    patches = len({int(p) for i in kept if (shown := tree.nodes[i].patches) is not None for p in shown})
    return flops.tree(config, runs, grid=_grid(config, tree), patches=patches, scored=len(leaves))


def decode_flops(backbone: MetaBackbone, tree: Tree, leaves: Sequence[int], copies: int, new_tokens: int) -> Flops:
    """Completions drawn with a cache after the prefill."""
    config, total = backbone.adapter.model.config, NONE
    for leaf in leaves:
        prefix = sum(len(tree.nodes[i]) for i in tree.path(leaf))
        visible = sum(prefix + step for step in range(1, new_tokens))
        total += flops.language(config, new_tokens - 1, visible, new_tokens) * copies
    return total


def rows_flops(backbone: MetaBackbone, tree: Tree, leaves: Sequence[int]) -> Flops:
    """One row for each leaf, each with the whole video of its own: what trainers without sharing run."""
    config, total = backbone.adapter.model.config, NONE
    for leaf in leaves:
        path = tree.path(leaf)
        patches = sum(len(shown) for i in path if (shown := tree.nodes[i].patches) is not None)
        runs = [(sum(len(tree.nodes[i]) for i in path), -1)]
        labels = tree.nodes[leaf].labels
        total += flops.tree(config, runs, grid=_grid(config, tree), patches=patches, scored=0 if labels is None else len(labels))
    return total


def extra_rows_flops(backbone: MetaBackbone, tree: Tree) -> Flops:
    """Roots that are only read at a block (second view, keywords) and V' without answers, each a row of its own through all blocks."""
    inner = {node.parent for node in tree.nodes}
    leaves = [i for i, node in enumerate(tree.nodes) if node.tap and i not in inner]
    return rows_flops(backbone, tree, leaves)


def _grid(config: PretrainedConfig, tree: Tree) -> tuple[int, int]:
    patch = config.vision_config.patch_size
    return tree.frames.shape[1] // patch, tree.frames.shape[2] // patch
