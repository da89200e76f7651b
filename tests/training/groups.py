"""Groups made by hand, and the trainer they are given to."""

from pathlib import Path

import numpy as np
import torch
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data.clips import ClipStore
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Completion
from videoperceiver.rewards.base import DEFAULT_WEIGHTS, BaseReward
from videoperceiver.rewards.quality import Quality
from videoperceiver.runs import Run
from videoperceiver.scoring.entailment import entailment_proxy
from videoperceiver.stages import GrpoConfig, RewardConfig, SamplingConfig
from videoperceiver.training import grpo
from videoperceiver.training.engines.tree import TreeEngine
from videoperceiver.training.policy import Policy
from videoperceiver.training.rollouts import Group, Prompt, Rollouts
from videoperceiver.training.scores import Scorer, Scores, record

INSTRUCTION = "Re-answer with attention to fine-grained visual details ."
NAN = float("nan")


def config_of(model: Path, data: Path, output: object, *overrides: str) -> GrpoConfig:
    """A tiny recipe: groups of four, two clips of two questions a step."""
    fields = [
        f"model.path={model}",
        f"train=[{data}]",
        f"output={output}",
        *RECIPE,
        "sampling.num_generations=4",
        "sampling.max_new_tokens=3",
        f"sampling.instruction={INSTRUCTION}",
        "sampling.max_refeed=1",
        "questions_per_clip=2",
        "batch_size=2",
        *overrides,
    ]
    return load(GrpoConfig, None, fields)


def said(text: str, logps: tuple[float, ...] = (-0.5, -0.25), ids: tuple[int, ...] = (20, 21)) -> Completion:
    """A completion that nobody drew."""
    return Completion(np.array(ids), np.array(logps, dtype=np.float32), text, True)


def store_of(data: Path) -> ClipStore:
    """Of the manifest, frames as they are."""
    return ClipStore([data], lambda frames: frames)


def prompts_of(store: ClipStore, *indices: int, questions: int = 2) -> list[Prompt]:
    """Prompts of some of the store's samples."""
    return [Prompt(at, s, store.clip(s), s.questions[:questions]) for at, s in enumerate(store.samples[i] for i in indices)]


def group_of(store: ClipStore, qualities: list[float], degraded: list[float], tries: list[int] | None = None, *, at: int = 0, number: int = 0) -> Group:
    """A group of the first sample with given scores; all say the same, so that surface rewards are equal."""
    sample, count = store.samples[0], len(qualities)
    return Group(
        at=at,
        sample=sample,
        clip=store.clip(sample),
        question=sample.questions[number],
        completions=[said("red")] * count,
        degraded=[said("red")] * count,
        tries=tries or [0] * count,
        quality=torch.tensor(qualities),
        quality_degraded=torch.tensor(degraded),
        first_quality=torch.zeros(count),
        surface=torch.ones(count),
        failed=torch.zeros(count, dtype=torch.bool),
    )


def scores_of(groups: list[Group]) -> Scores:
    """As the trainer gathers them; groups given one place are told apart by their order."""
    return Scores.of([record(group) for group in groups])


def rollouts_of(backbone: Backbone, sampling: SamplingConfig, reward: RewardConfig | None = None, **options) -> Rollouts:
    """The tree engine with the built-in rewards."""
    reward = reward or RewardConfig()
    return Rollouts(TreeEngine(backbone), backbone, sampling, reward, Scorer(Quality(entailment_proxy), BaseReward(reward.base or DEFAULT_WEIGHTS)), **options)


def trainer_of(config: GrpoConfig) -> grpo.Trainer:
    """A trainer whose updates change nothing (learning rate 0, plain gradient descent)."""
    backbone = Backbone.load(config.model.path, freeze_vision=False)
    policy = Policy(backbone, torch.optim.SGD(backbone.parameters(), lr=0.0))
    run = Run.open_or_create(config.output, config, stage="grpo")
    return grpo.Trainer(config, policy, TreeEngine(backbone), ClipStore(config.train, backbone.adapter.fit), run)
