"""Each prepared clip held against the earlier ones and against benchmarks, in source order; and the split that it lands in."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path

from videoperceiver.data.duplicates import Duplicates, Likeness, groups_of
from videoperceiver.data.fingerprints import Fingerprints
from videoperceiver.data.journal import Journal, rows_of
from videoperceiver.data.outcomes import Outcome
from videoperceiver.data.splits import assign_splits
from videoperceiver.data.validate import Dropped
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample


@dataclass(frozen=True)
class Decision:
    """What is known of a clip only beside others.

    Attributes:
        dropped: why it is left out, if it is.
        marks: tags that it gets where it stays although it is like another one.
    """

    dropped: Dropped | None = None
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Comparison:
    """Decisions in the order of the clips, to be read as often as wanted; they wait in a file, so that no memory grows with them.

    Attributes:
        decided: that file; None where nothing was compared.
        counts: how many clips were dropped by each rule and how many got each mark.
        splits: id -> split; empty where the source's own stay.
    """

    decided: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)
    splits: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Decision]:
        """One a clip; without end where nothing was compared."""
        if self.decided is None:
            return repeat(Decision())
        return (Decision(Dropped(**row["dropped"]) if row["dropped"] else None, row["marks"]) for row in rows_of(self.decided))


def compare(outcomes: Iterable[Outcome], config: DataConfig, decided: Path) -> Comparison:
    """Duplicates, overlaps with benchmarks, and splits by video, as the config asks for them.

    Args:
        outcomes: of all clips, in source order.
        config: of the stage.
        decided: where the decisions are written.

    Raises:
        ManifestError: a benchmark's index that cannot be read.
    """
    validate, found = config.validate, Comparison()
    if validate.duplicates == "keep" and validate.decontaminate == "keep" and not config.shares:
        return found
    decided.unlink(missing_ok=True)
    found.decided, seen = decided, Duplicates(validate.duplicate_bits)
    indexes = [Fingerprints.load(path, validate.benchmark_share, validate.benchmark_bits) for path in validate.benchmark_index]
    pairs: list[tuple[str, str]] = []
    given: dict[str, str] = {}
    with Journal(decided) as journal:
        for outcome in outcomes:
            decision, likeness = _decide(outcome, seen, indexes, config)
            journal.add({"dropped": asdict(decision.dropped) if decision.dropped else None, "marks": decision.marks})
            found.counts.update([decision.dropped.rule] if decision.dropped else list(decision.marks))
            if config.shares and outcome.sample is not None and decision.dropped is None:
                pairs.extend(groups_of(outcome.sample, likeness))
                if outcome.sample.split:
                    given[outcome.id] = outcome.sample.split
    if config.shares:
        found.splits = assign_splits(pairs, config.shares, config.seed, given)
    return found


def _decide(outcome: Outcome, seen: Duplicates, indexes: Iterable[Fingerprints], config: DataConfig) -> tuple[Decision, Likeness]:
    validate, sample = config.validate, outcome.sample
    if sample is None:
        return Decision(), Likeness()
    overlap = _overlap(outcome, sample, indexes, config) if validate.decontaminate != "keep" else Decision()
    if overlap.dropped is not None or validate.duplicates == "keep":
        return overlap, Likeness()
    hashes, motion = (outcome.hashes, outcome.motion) if len(outcome.hashes) and len(outcome.motion) else (None, None)
    likeness = seen.check(sample, hashes, motion)
    if not likeness.is_duplicate:
        return overlap, likeness
    if validate.duplicates == "mark":
        return Decision(None, {**overlap.marks, "duplicate_of": likeness.like}), likeness
    reason = f"it shows what {likeness.like!r} shows ({likeness.bits:.1f} of 64 bits apart)"
    return Decision(Dropped(sample.id, "sample", "", "duplicate", reason, outcome.media)), likeness


def _overlap(outcome: Outcome, sample: Sample, indexes: Iterable[Fingerprints], config: DataConfig) -> Decision:
    """Whether a benchmark holds the clip."""
    nearest = [near for index in indexes if (near := index.nearest(outcome.hashes)) is not None]
    if not nearest:
        return Decision()
    video, bits = min(nearest, key=lambda near: near[1])
    if config.validate.decontaminate == "mark":
        return Decision(None, {"benchmark": video, "benchmark_bits": f"{bits:g}"})
    reason = f"the benchmark's video {video!r} holds the same pictures ({bits:.0f} of 64 bits apart)"
    return Decision(Dropped(sample.id, "sample", "", "benchmark", reason, outcome.media))
