"""Each prepared clip held against the earlier ones and against benchmarks, in source order; and the split that it lands in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from videoperceiver.data.duplicates import Duplicates, Likeness, groups_of
from videoperceiver.data.fingerprints import Fingerprints
from videoperceiver.data.outcomes import Outcome
from videoperceiver.data.splits import assign_splits
from videoperceiver.data.validate import Dropped
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample


@dataclass
class Comparison:
    """What is known of clips only beside others.

    Attributes:
        dropped: id -> why the clip is left out.
        marks: id -> tags of a clip that stays although it is like another one.
        splits: id -> split; empty where the source's own stay.
    """

    dropped: dict[str, Dropped] = field(default_factory=dict)
    marks: dict[str, dict[str, str]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)


def compare(outcomes: Iterable[Outcome], config: DataConfig) -> Comparison:
    """Duplicates, overlaps with benchmarks, and splits by video, as the config asks for them.

    Raises:
        ManifestError: a benchmark's index that cannot be read.
    """
    validate, found = config.validate, Comparison()
    if validate.duplicates == "keep" and validate.decontaminate == "keep" and not config.shares:
        return found
    seen = Duplicates(validate.duplicate_bits)
    indexes = [Fingerprints.load(path, validate.benchmark_share, validate.benchmark_bits) for path in validate.benchmark_index]
    pairs: list[tuple[str, str]] = []
    given: dict[str, str] = {}
    for outcome in outcomes:
        sample = outcome.sample
        if sample is None or (validate.decontaminate != "keep" and _overlaps(outcome, sample, indexes, config, found)):
            continue
        hashes = outcome.hashes if len(outcome.hashes) else None
        likeness = seen.check(sample, hashes, outcome.motion if len(outcome.motion) else None) if validate.duplicates != "keep" else Likeness()
        if likeness.is_duplicate:
            reason = f"it shows what {likeness.like!r} shows ({likeness.bits:.1f} of 64 bits apart)"
            if validate.duplicates == "drop":
                found.dropped[sample.id] = Dropped(sample.id, "sample", "", "duplicate", reason, outcome.media)
                continue
            found.marks.setdefault(sample.id, {})["duplicate_of"] = likeness.like
        if config.shares:
            pairs.extend(groups_of(sample, likeness))
            if sample.split:
                given[sample.id] = sample.split
    if config.shares:
        found.splits = assign_splits(pairs, config.shares, config.seed, given)
    return found


def _overlaps(outcome: Outcome, sample: Sample, indexes: Iterable[Fingerprints], config: DataConfig, found: Comparison) -> bool:
    """Whether a clip is left out because a benchmark holds it."""
    nearest = [near for index in indexes if (near := index.nearest(outcome.hashes)) is not None]
    if not nearest:
        return False
    video, bits = min(nearest, key=lambda near: near[1])
    if config.validate.decontaminate == "mark":
        found.marks.setdefault(sample.id, {}).update(benchmark=video, benchmark_bits=f"{bits:g}")
        return False
    reason = f"the benchmark's video {video!r} holds the same pictures ({bits:.0f} of 64 bits apart)"
    found.dropped[sample.id] = Dropped(sample.id, "sample", "", "benchmark", reason, outcome.media)
    return True
