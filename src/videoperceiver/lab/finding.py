"""What a study found: every claim judged by rule, every arm's means, and what is still missing."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.evaluation.statistics import holm
from videoperceiver.lab import effects
from videoperceiver.lab.effects import Effect
from videoperceiver.lab.rows import Row
from videoperceiver.lab.study import BACKBONE, STATIC, ClaimConfig, StudyConfig

EXPLORATORY = "exploratory"
EXPLORED = "explored, no verdict"


@dataclass(frozen=True)
class Judged:
    """A claim and what its rows say.

    Attributes:
        claim: as planned.
        num_planned: seeds that were planned for it.
        effects: slice -> effect; a slice that no row has yet is left out.
        adjusted: slice -> p-value corrected within the claim's family.
        verdicts: slice -> one of the words of `effects`.
        cost_ratio: processor seconds from the backbone to the arm's model over those to the other's; NaN where rows are missing.
    """

    claim: ClaimConfig
    num_planned: int
    effects: dict[str, Effect]
    adjusted: dict[str, float]
    verdicts: dict[str, str]
    cost_ratio: float

    @property
    def slices(self) -> list[str]:
        """Slices that have an effect, the deciding one first."""
        return [name for name in self.claim.slices if name in self.effects]

    @property
    def num_seeds(self) -> int:
        """Seeds that both arms have."""
        return len(self.effects[self.slices[0]].seeds) if self.slices else 0


@dataclass(frozen=True)
class ArmMeans:
    """One arm over its seeds, shares in [0, 1], NaN where nothing was measured.

    Attributes:
        name: of the arm.
        num_seeds, num_planned: there are, there will be.
        accuracy: slice -> mean over seeds.
        by_seed: slice -> one value a seed.
        followed: share of the event questions on conflicting clips answered as the cue says.
        cpu_s: of its own stage, mean.
        steps: of it.
    """

    name: str
    num_seeds: int
    num_planned: int
    accuracy: dict[str, float]
    by_seed: dict[str, tuple[float, ...]]
    followed: float
    cpu_s: float
    steps: int


@dataclass(frozen=True)
class Finding:
    """All of it."""

    claims: list[Judged]
    arms: list[ArmMeans]
    slices: list[str]
    commits: list[str]

    @property
    def incomplete(self) -> list[ArmMeans]:
        """Arms of which seeds are missing."""
        return [arm for arm in self.arms if arm.num_seeds < arm.num_planned]


def find(config: StudyConfig, rows: Sequence[Row]) -> Finding:
    """Judges a study.

    Args:
        config: the plan.
        rows: what there is of it; any part may be missing.
    """
    slices = [f"{test}/{condition}" if condition != "full" else test for test, conditions in config.tests.items() for condition in conditions]
    arms = [means(config, rows, name, [*slices, STATIC]) for name in (BACKBONE, *config.arms)]
    return Finding(judge(config, rows), arms, [*slices, STATIC], sorted({row.commit or "unknown" for row in rows}))


def judge(config: StudyConfig, rows: Sequence[Row], seeds: Sequence[int] | None = None) -> list[Judged]:
    """Effects, corrected p-values and verdicts of every claim, in the order of the plan.

    Args:
        config: the plan.
        rows: of the study.
        seeds: leave all others out; the verdicts then ask for these only.
    """
    rows = [row for row in rows if seeds is None or row.seed in seeds]
    found = [_effects(rows, claim) for claim in config.claims]
    adjusted: list[dict[str, float]] = [{} for _ in found]
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, claim in enumerate(config.claims):
        for name in claim.slices:
            families[claim.family, name].append(i)
    for (_, name), members in families.items():
        p_values = [found[i][name].p_value if name in found[i] else math.nan for i in members]
        for i, value in zip(members, holm([1.0 if math.isnan(p) else p for p in p_values]), strict=True):
            adjusted[i][name] = value
    return [_judged(config, rows, claim, found[i], adjusted[i], seeds) for i, claim in enumerate(config.claims)]


def _judged(
    config: StudyConfig, rows: Sequence[Row], claim: ClaimConfig, found: dict[str, Effect], p_values: dict[str, float], seeds: Sequence[int] | None
) -> Judged:
    planned = set(config.seeds(claim.arm)) & set(config.seeds(claim.against)) & set(seeds if seeds is not None else config.seeds())
    both = {seed for value in found.values() for seed in value.seeds}
    exploring = claim.family == EXPLORATORY
    verdicts = {name: EXPLORED if exploring else effects.verdict(value, p_values[name], len(planned)) for name, value in found.items()}
    return Judged(claim, len(planned), found, p_values, verdicts, _cost(config, rows, claim.arm, both) / _cost(config, rows, claim.against, both))


def _cost(config: StudyConfig, rows: Sequence[Row], arm: str, seeds: set[int]) -> float:
    """Mean processor seconds of all stages from the backbone to an arm's model, over some seeds."""
    return sum(effects.cost([row for row in rows if row.seed in seeds], step) for step in config.chain(arm)) or math.nan


def _effects(rows: Sequence[Row], claim: ClaimConfig) -> dict[str, Effect]:
    found = {name: effects.effect([row for row in rows if answered(row, name)], claim.arm, claim.against, name) for name in claim.slices}
    return {name: value for name, value in found.items() if value.seeds}


def answered(row: Row, name: str) -> bool:
    """Whether a row has what a slice is made of: tests may be added to a study that has rows."""
    test = name.partition(":")[0]
    needed = [f"{half}/full" for half in ("agree", "conflict")] if test == STATIC else [test if "/" in test else f"{test}/full"]
    return all(name in row.tests for name in needed)


def means(config: StudyConfig, rows: Sequence[Row], arm: str, slices: Sequence[str]) -> ArmMeans:
    """One arm's means."""
    mine = list(effects.by_seed(rows, arm).values())
    by_seed = {name: tuple(float(effects.clip_scores(row, name).mean()) for row in mine if answered(row, name)) for name in slices}
    accuracy = {name: float(np.mean(values)) if values else math.nan for name, values in by_seed.items()}
    followed = [float(row.tests["conflict/full"].followed[:, ~np.array(row.static)].mean()) for row in mine if "conflict/full" in row.tests]
    cpu_s = effects.cost(rows, arm)
    return ArmMeans(
        arm, len(mine), len(config.seeds(arm)), accuracy, by_seed, float(np.mean(followed)) if followed else math.nan, cpu_s, mine[0].steps if mine else 0
    )
