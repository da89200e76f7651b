"""Intervals and tests for accuracies, with questions clustered by video, and the summary that result.json holds.

Questions of one video are not independent: intervals resample videos, tests flip whole videos. Everything is seeded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.compact import CompactRows
from videoperceiver.evaluation.metrics import Row

LEVEL = 0.95
_Z = 1.959963984540054  # of a two-sided 95 % normal interval
_CHUNK = 1_000_000  # resampling weights held at once
_MANY = 2_000
"""With more videos the same multinomial weights are drawn by counting, which is ten times as fast; with fewer, as ever, so that old numbers stay."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval.

    Attributes:
        value: NaN where nothing was scored.
        low, high: NaN where fewer than two videos were scored.
        num: answers it rests on.
        num_videos: independent units it rests on.
    """

    value: float
    low: float
    high: float
    num: int
    num_videos: int


def wilson(successes: float, num: int) -> tuple[float, float]:
    """95 % interval of a proportion of independent trials (Wilson 1927)."""
    if num == 0:
        return math.nan, math.nan
    share, z2 = successes / num, _Z**2
    centre = (share + z2 / (2 * num)) / (1 + z2 / num)
    half = _Z / (1 + z2 / num) * math.sqrt(share * (1 - share) / num + z2 / (4 * num**2))
    return max(0.0, centre - half), min(1.0, centre + half)


class Slices:
    """Means of many slices of the same videos, resampled together: one set of draws serves every slice.

    Args:
        num_resamples: of the bootstrap.
        seed: of the draws.
        names: of the videos in ascending order, where slices are added with codes into them.
    """

    def __init__(self, num_resamples: int = 2_000, seed: int = 0, names: Sequence[str] = ()):
        self.num_resamples, self.seed, self._names = num_resamples, seed, names
        self._values: dict[tuple[str, ...], tuple[np.ndarray, Sequence[str] | np.ndarray]] = {}
        self._differences: set[tuple[str, ...]] = set()
        self._mixes: dict[tuple[str, ...], Sequence[tuple[tuple[str, ...], float]]] = {}

    def mix(self, name: tuple[str, ...], parts: Sequence[tuple[tuple[str, ...], float]]) -> None:
        """A weighted sum of means of slices that were added: (slice, weight) each, as in a mean over categories."""
        self._mixes[name] = parts

    def add(self, name: tuple[str, ...], values: Sequence[float] | np.ndarray, videos: Sequence[str] | np.ndarray, *, differences: bool = False) -> None:
        """One slice: its values (N,), NaN ones left out, the video (N,) each belongs to, and whether they are differences and not shares."""
        self._values[name] = (np.asarray(values, dtype=np.float64), videos)
        if differences:
            self._differences.add(name)

    def estimates(self) -> dict[tuple[str, ...], Estimate]:
        """Percentile intervals of every slice's mean.

        A slice whose videos all have the same mean has no spread to resample, which is not certainty: the interval of a share is then
        Wilson's over its videos, taken as one trial each, and that of a difference is NaN.
        """
        places, num_videos = self._places()
        sums, counts = np.zeros((2, len(self._values), num_videos))  # (slices, videos)
        for row, ((values, _), place) in enumerate(zip(self._values.values(), places, strict=True)):
            scored = ~np.isnan(values)
            at = place[scored]
            np.add.at(sums[row], at, values[scored])
            np.add.at(counts[row], at, 1.0)
        means = self._resampled(sums, counts)
        low, high = _bounds(means)
        found = {name: _estimate(sums[i], counts[i], low[i], high[i], name in self._differences) for i, name in enumerate(self._values)}
        return found | self._mixed(found, means, counts)

    def _places(self) -> tuple[list[np.ndarray], int]:
        """For each slice the place (N,) of each value's video among all videos added, in ascending order of names, and how many these are."""
        added = [videos for _, videos in self._values.values()]
        coded = [videos for videos in added if isinstance(videos, np.ndarray)]
        if coded and len(coded) == len(added):
            present = np.zeros(len(self._names), dtype=bool)
            for codes in coded:
                present[codes] = True
            rank = np.cumsum(present) - 1
            return [rank[codes] for codes in coded], int(present.sum())
        named = [self._named(videos) for videos in added]
        index = {video: i for i, video in enumerate(sorted({video for names in named for video in names}))}
        return [np.fromiter((index[name] for name in names), dtype=np.int64, count=len(names)) for names in named], len(index)

    def _named(self, videos: Sequence[str] | np.ndarray) -> Sequence[str]:
        return [self._names[int(code)] for code in videos] if isinstance(videos, np.ndarray) else videos

    def _mixed(self, found: dict[tuple[str, ...], Estimate], means: np.ndarray, counts: np.ndarray) -> dict[tuple[str, ...], Estimate]:
        row = {name: i for i, name in enumerate(self._values)}
        result = {}
        for name, parts in self._mixes.items():
            if len(parts) == 1 and parts[0][1] == 1:
                result[name] = found[parts[0][0]]
                continue
            rows = [row[part] for part, _ in parts]
            value = sum(weight * found[part].value for part, weight in parts)
            [low], [high] = _bounds(means[:, rows] @ np.array([[weight] for _, weight in parts]))
            if math.isnan(value) or low == high:  # a part is missing, or nothing varied: no interval, which is not certainty
                low = high = math.nan
            result[name] = Estimate(value, float(low), float(high), int(counts[rows].sum()), int((counts[rows].sum(axis=0) > 0).sum()))
        return result

    def _resampled(self, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Means (resamples, slices); NaN where a resample has none of a slice's videos, and everywhere for fewer than two videos."""
        num_slices, num_videos = sums.shape
        if num_videos < 2:
            return np.full((1, num_slices), math.nan)
        rng = np.random.default_rng(self.seed)
        block = max(1, _CHUNK // num_videos)
        means = []
        for first in range(0, self.num_resamples, block):
            size = min(block, self.num_resamples - first)
            weights = _weights(rng, num_videos, size)  # (block, videos)
            num = weights @ counts.T  # (block, slices)
            means.append(np.divide(weights @ sums.T, num, out=np.full_like(num, math.nan), where=num > 0))
        return np.concatenate(means)


def _weights(rng: np.random.Generator, num_videos: int, size: int) -> np.ndarray:
    """How often each video is drawn in each of `size` resamples: (size, videos)."""
    if num_videos <= _MANY:
        return rng.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=size).astype(np.float64)
    drawn = rng.integers(0, num_videos, size=(size, num_videos)) + np.arange(size)[:, None] * num_videos
    return np.bincount(drawn.ravel(), minlength=size * num_videos).reshape(size, num_videos).astype(np.float64)


def _bounds(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (slices,) of resampled means (resamples, slices); a resample without a value is not counted."""
    if not resampled.shape[1]:
        return np.empty(0), np.empty(0)
    tail = (1 - LEVEL) / 2
    empty = np.isnan(resampled).all(axis=0)
    low, high = np.nanquantile(np.where(empty, 0.0, resampled), [tail, 1 - tail], axis=0)
    return np.where(empty, math.nan, low), np.where(empty, math.nan, high)


def _estimate(sums: np.ndarray, counts: np.ndarray, low: float, high: float, is_difference: bool) -> Estimate:
    has = counts > 0
    num, num_videos = int(counts.sum()), int(has.sum())
    if num == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    value = float(sums.sum() / num)
    if num_videos < 2:
        return Estimate(value, math.nan, math.nan, num, num_videos)
    if np.ptp(sums[has] / counts[has]) == 0:
        bounds = (math.nan, math.nan) if is_difference else wilson(value * num_videos, num_videos)
        return Estimate(value, *bounds, num, num_videos)
    return Estimate(value, float(low), float(high), num, num_videos)


def clustered_mean(values: Sequence[float], videos: Sequence[str], *, differences: bool = False, num_resamples: int = 10_000, seed: int = 0) -> Estimate:
    """Mean of shares or differences (N,) and its 95 % interval by resampling videos (N,); NaN values are left out."""
    slices = Slices(num_resamples, seed)
    slices.add((), values, videos, differences=differences)
    return slices.estimates()[()]


def permutation_test(differences: Sequence[float], videos: Sequence[str], *, num_permutations: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean paired difference, flipping the sign of whole videos.

    Args:
        differences: (N,) of two runs on the same questions; NaN ones are left out.
        videos: (N,).
        num_permutations: random sign flips; all 2^V of them are enumerated where that is fewer.
        seed: of the flips.

    Returns:
        p in (0, 1]; 1 where nothing differs. Random flips count the observed one, so that p is never 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    scored = ~np.isnan(values)
    _, at = np.unique(np.asarray(videos)[scored], return_inverse=True)
    sums = np.bincount(at, weights=values[scored])  # (V,)
    sums = sums[sums != 0]
    observed = abs(sums.sum()) - 1e-12
    if not len(sums):
        return 1.0
    if 2 ** len(sums) <= num_permutations:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float((np.abs(signs @ sums) >= observed).mean())
    rng = np.random.default_rng(seed)
    block, extreme = max(1, _CHUNK // len(sums)), 0
    for first in range(0, num_permutations, block):
        signs = rng.integers(0, 2, size=(min(block, num_permutations - first), len(sums))) * 2 - 1
        extreme += int((np.abs(signs @ sums) >= observed).sum())
    return (extreme + 1) / (num_permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@dataclass(frozen=True)
class Comparison:
    """A paired difference between two sets of rows.

    Attributes:
        difference: mean score of the first minus the second, with its interval.
        p_value: of `permutation_test`.
    """

    difference: Estimate
    p_value: float


def compare(rows: Sequence[Row], others: Sequence[Row], *, seed: int = 0) -> Comparison:
    """Is the first better than the second on the questions both answered?

    Raises:
        ValueError: nothing is shared, or a question occurs twice on one side.
    """
    pairs = metrics.matched(rows, others)
    differences = [metrics.score(a) - metrics.score(b) for a, b in pairs]
    videos = [a["video"] for a, _ in pairs]
    return Comparison(clustered_mean(differences, videos, differences=True, seed=seed), permutation_test(differences, videos, seed=seed))


def summarize(rows: Sequence[Row], *, seed: int = 0) -> dict[str, Any]:
    """What result.json holds; NaN becomes null.

    Returns:
        accuracy: condition -> {"all": E, "family": {name: E}, "static": {"True"|"False": E}, "tags": {"cue=agree": E}}, E being an
            `Estimate` as a mapping.
        gap: condition other than "full" -> the same shape: accuracy under "full" minus accuracy under it on the same questions.
        unparsed: condition -> share of closed questions that could not be read (they count as wrong above).
        majority: {"all", "family"}: accuracy of the best constant answer a family.
        num_questions, num_videos: under "full", or under all conditions where there is no "full".
    """
    everything = CompactRows.of(rows)
    conditions = everything.by("condition")
    slices = Slices(seed=seed, names=everything.video_names)
    for condition, group in conditions.items():
        for name, part in _cut(group).items():
            slices.add(("accuracy", condition, *name), part.values, part.videos)
    full = conditions.get("full")
    for condition, group in conditions.items():
        if condition == "full" or full is None:
            continue
        at = full.partners(group)
        gaps = full.where(at >= 0).with_values(full.values[at >= 0] - group.values[at[at >= 0]])
        for name, part in _cut(gaps).items():
            slices.add(("gap", condition, *name), part.values, part.videos, differences=True)
    asked = everything if full is None else full
    result: dict[str, Any] = {"accuracy": {}, "gap": {}}
    for (table, condition, kind, name), estimate in slices.estimates().items():
        cell = {key: _null(value) for key, value in asdict(estimate).items()}
        place = result[table].setdefault(condition, {"all": None, "family": {}, "static": {}, "tags": {}})
        place.update({kind: cell}) if kind == "all" else place[kind].update({name: cell})
    families = {name: (group.where(group.closed).most_common(), int(group.closed.sum())) for name, group in asked.by("family").items()}
    return result | {
        "unparsed": {condition: _share(int(group.unparsed.sum()), int(group.closed.sum())) for condition, group in conditions.items()},
        "majority": {
            "all": _share(sum(best for best, _ in families.values()), sum(num for _, num in families.values())),
            "family": {name: _share(best, num) for name, (best, num) in families.items()},
        },
        "num_questions": len(asked),
        "num_videos": len(np.unique(asked.videos)),
    }


def _cut(rows: CompactRows) -> dict[tuple[str, str], CompactRows]:
    """Every slice of the summary: (kind, name) -> rows."""
    cuts = {("all", ""): rows}
    for kind in ("family", "static"):
        cuts |= {(kind, name): part for name, part in rows.by(kind).items()}
    for tag in sorted(rows.tags()):
        groups = rows.by(f"tags.{tag}")
        if len(groups) <= 20:  # a tag with a value of its own for every clip is no slice
            cuts |= {("tags", f"{tag}={name}"): part for name, part in groups.items()}
    return cuts


def _share(num: int, of: int) -> float | None:
    return num / of if of else None


def _null(value: Mapping[str, Any] | float) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
