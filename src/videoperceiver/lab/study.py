"""What a study compares: clips, arms and claims, as one recipe of frozen records (recipes/lab).

An arm is an ordinary stage run: a shipped recipe, the clips it trains on, the model it starts from and the fields it sets. A claim names two
arms; what the report may say about them follows from the rows of both. The recipe is the plan: it is written before the rows are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.lab.tasks import DEMO_FAMILIES
from videoperceiver.lab.worlds import rendered_sets
from videoperceiver.stages import DemoConfig
from videoperceiver.stages.operators import check_operator

BACKBONE = "backbone"
"""What an arm starts from that starts from no other arm."""
STATIC = "static"
"""The slice of questions about the scenery, over `agree` and `conflict`."""
FULL = "full"


@dataclass(frozen=True)
class SetConfig:
    """Rendered clips of each seed beside the demo's own; see `dataset.render_dataset`."""

    num_clips: int = 200
    split: Literal["train", "validation", "test"] = "test"
    difficulty: str = "faint"
    cue: Literal["independent", "shortcut", "agree", "conflict"] = "independent"
    reliability: float = 0.88
    stream: int = 2  # of training clips: their seed is 4 * seed + stream, as the demo's (2 = the events of its stage-1 clips)
    families: list[str] = field(default_factory=lambda: list(DEMO_FAMILIES))
    every: int = 1  # keep each so many-th frame: 2 = half the frame rate, and half of the one-frame events unseen
    operator: str = "hold"  # of V'

    def __post_init__(self):
        check_operator(self.operator)


@dataclass(frozen=True)
class ArmConfig:
    """One way to train."""

    stage: Literal["sft", "grpo"] = "sft"
    recipe: str = "tiny/sft.yaml"  # shipped; below recipes/
    data: str = "train"  # the set it trains on
    start: str = BACKBONE  # or an arm of the same seed
    set: dict[str, Any] = field(default_factory=dict)  # fields that replace the recipe's
    num_seeds: int = 0  # 0 = all of the study's
    block: int = 1  # blocks run one after the other; within one, seed by seed


@dataclass(frozen=True)
class ClaimConfig:
    """A planned comparison: is `arm` better than `against`?"""

    says: str = MISSING  # what it asks, in words
    arm: str = MISSING
    against: str = MISSING
    family: str = "exploratory"  # comparisons that are corrected together; exploratory ones get no verdict
    slices: list[str] = field(default_factory=lambda: ["conflict", "agree", STATIC])  # the first decides


@dataclass(frozen=True)
class CandidateConfig:
    """A variant that the recipes might take, and the arms that it has to stand up to."""

    arm: str = MISSING
    steps: str = MISSING  # the control of as many steps
    cpu: str = ""  # that of as much processor time; none = not compared
    unbiased: str = ""  # the variant itself, trained where there is no shortcut


@dataclass(frozen=True)
class StudyConfig:
    """A study: every arm on every seed, and what is concluded from them."""

    output: str = "runs/lab"
    backbones: str = "runs/lab-seeds"  # folder of the seeds' clips and backbones; what is missing is made
    first_seed: int = 0
    num_seeds: int = 10
    num_workers: int = 2
    demo: DemoConfig = field(default_factory=DemoConfig)  # how many clips, steps of the backbone
    sets: dict[str, SetConfig] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=lambda: {"agree": [FULL], "conflict": [FULL, "degraded"]})  # set -> conditions
    arms: dict[str, ArmConfig] = field(default_factory=dict)
    claims: list[ClaimConfig] = field(default_factory=list)
    candidates: list[CandidateConfig] = field(default_factory=list)

    def __post_init__(self):
        for name, arm in self.arms.items():
            _known(f"arms.{name}.start", arm.start, [BACKBONE, *self.arms])
            _known(f"arms.{name}.data", arm.data, [*rendered_sets(self.demo), *self.sets])
            self.chain(name)
        for claim in self.claims:
            _known("claims: arm", claim.arm, [BACKBONE, *self.arms])
            _known("claims: against", claim.against, [BACKBONE, *self.arms])
        for candidate in self.candidates:
            for name in filter(None, (candidate.arm, candidate.steps, candidate.cpu, candidate.unbiased)):
                _known("candidates", name, self.arms)
        for test in self.tests:
            _known("tests", test, [*rendered_sets(self.demo), *self.sets])

    def seeds(self, arm: str = BACKBONE) -> range:
        """The seeds of an arm."""
        wanted = self.arms[arm].num_seeds if arm in self.arms else 0
        return range(self.first_seed, self.first_seed + (min(wanted, self.num_seeds) or self.num_seeds))

    def chain(self, arm: str) -> list[str]:
        """The arms that an arm passes through, itself last."""
        passed: list[str] = []
        while arm != BACKBONE:
            if arm in passed:
                raise ConfigError(f"arms.{arm}.start: {' <- '.join([*passed, arm])} is a circle; one of them must start from {BACKBONE}")
            passed.append(arm)
            arm = self.arms[arm].start
        return passed[::-1]

    def set_arguments(self, seed: int) -> dict[str, dict[str, Any]]:
        """Name -> arguments of render_dataset of every set of a seed: the demo's and the study's."""
        made = rendered_sets(replace(self.demo, seed=seed))
        for name, wanted in self.sets.items():
            values = {key: value for key, value in vars(wanted).items() if key != "stream"}
            made[name] = values | {"seed": 4 * seed + wanted.stream if wanted.split == "train" else seed}
        return made


def _known(where: str, name: str, names: Sequence[str] | Mapping[str, object]) -> None:
    if name not in names:
        raise ConfigError(f"{where}: got {name!r}, expected one of {', '.join(names)}")
