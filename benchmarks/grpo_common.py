"""What the stage-2 benchmarks share: clips with a V', a scripted Q, and a trainer on them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tree_common import Pair, adamw, clips

from videoperceiver.config import load
from videoperceiver.models import Backbone
from videoperceiver.runs import Run
from videoperceiver.stages import GrpoConfig
from videoperceiver.training import grpo
from videoperceiver.training.engines.tree import TreeEngine
from videoperceiver.training.loader import ClipLoader
from videoperceiver.training.policy import Policy
from videoperceiver.types import Clip, Degradation, Question, Sample

GROUP = 8
QUESTION = "what colour is the flash ?"


@dataclass
class Store:
    """Clips in memory, each with one question and a V' that lacks two frames in the middle."""

    count: int
    frames: int = 32
    side_px: int = 64
    samples: list[Sample] = field(init=False)
    made: dict[str, Clip] = field(init=False)

    def __post_init__(self):
        self.made = {clip.source: clip for clip in clips(self.count, frames=self.frames, side_px=self.side_px)}
        middle = self.frames // 2
        hidden = tuple(middle - 1 if t in (middle, middle + 1) else t for t in range(self.frames))
        self.samples = [
            Sample(name, name, "", "train", "noise", tuple(clip.t_s), questions=(_question(name),), degradation=Degradation("hold", hidden))
            for name, clip in self.made.items()
        ]

    def clip(self, sample: Sample) -> Clip:
        """As `ClipStore.clip`."""
        return self.made[sample.id]


def _question(name: str) -> Question:
    return Question(name, QUESTION, "red", "word", "flash", options=("red", "green", "blue"))


class Script:
    """Q without a judge: right with given shares on V and on V', drawn anew for every completion."""

    def __init__(self, on_full: float, on_degraded: float):
        self.shares, self.generator = (on_full, on_degraded), torch.Generator().manual_seed(0)

    def __call__(self, texts: Sequence[str], questions: Sequence[Question]) -> torch.Tensor:
        """As `rewards.quality.Quality`: a question's completions on V come first, those on V' behind; a refeed has V alone."""
        seen: dict[str, int] = {}
        on_degraded = []
        for question in questions:
            seen[question.id] = seen.get(question.id, 0) + 1
            on_degraded.append(seen[question.id] > GROUP)
        share = torch.tensor([self.shares[side] for side in map(int, on_degraded)])
        return (torch.rand(len(texts), generator=self.generator) < share).float()


def trainer(models: Pair, store: Store, *overrides: str, quality: object = None) -> grpo.Trainer:
    """Stage 2 on the pair's backbone, on clips in memory."""
    folder = tempfile.mkdtemp()
    fields = [
        "model.path=none",
        "train=[none]",
        f"output={Path(folder) / 'run'}",
        "model.freeze_vision=false",
        f"batch_size={store.count}",
        "watch.samples_every=0",
    ]
    config = load(GrpoConfig, None, [*fields, *overrides])
    backbone: Backbone = models.backbone
    policy = Policy(backbone, adamw(backbone))
    made = grpo.Trainer(config, policy, TreeEngine(backbone), store, Run.open_or_create(config.output, config, stage="grpo"))  # type: ignore[arg-type]
    made.loader = ClipLoader(store, made._share, first=0, last=1, settings=config.runtime)  # type: ignore[arg-type]
    if quality is not None:
        made.scorer.quality = quality  # type: ignore[assignment]
    return made
