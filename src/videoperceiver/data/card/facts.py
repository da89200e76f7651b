"""What is to be said of a data set, gathered in one pass over its manifest, in memory that grows by eight bytes a media file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from videoperceiver.data import reviews
from videoperceiver.data.card.spread import Spread, Tally
from videoperceiver.data.seen import Seen
from videoperceiver.types import Question, Sample

RARE = 0.05
"""The share of frames inside events that sparsification aims at (paper 3.4)."""
EXAMPLES_A_SOURCE = 3


@dataclass
class SplitFacts:
    """Counts of one split."""

    clips: int = 0
    captions: int = 0
    questions: int = 0
    degraded: int = 0


@dataclass
class FamilyFacts:
    """Counts of one question family."""

    questions: int = 0
    static: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass
class Facts:
    """Everything counted over the rows of a manifest.

    Attributes:
        splits: split -> its counts.
        sources: clips of each source.
        media: clips of each kind of media.
        families: question family -> its counts; names beyond the first few hundred count together.
        annotators: clips by who wrote their texts ("" where the source did), with the version of its prompts.
        durations: seconds from a clip's first frame to its last.
        frames: frames a clip.
        share_before: share of frames inside events at the base rate.
        share_after: after sparsification.
        rare_after: clips whose share reaches the aim.
        replaced: share of the frames that V' replaces.
        keyframes: key frames a clip.
        operators: clips by how V' is made.
        checked: clips whose V' went through the residual check.
        removed: of these, how many passed.
        spans: annotated events.
        assumed: clips whose times had to be assumed.
        rejected: clips that a reviewer rejected.
        examples: a few samples of each source, those first whose V' passed the check.
    """

    splits: dict[str, SplitFacts] = field(default_factory=dict)
    sources: Tally = field(default_factory=Tally)
    media: Counter[str] = field(default_factory=Counter)
    families: dict[str, FamilyFacts] = field(default_factory=dict)
    annotators: Tally = field(default_factory=Tally)
    durations: Spread = field(default_factory=Spread)
    frames: Spread = field(default_factory=Spread)
    share_before: Spread = field(default_factory=Spread)
    share_after: Spread = field(default_factory=Spread)
    rare_after: int = 0
    replaced: Spread = field(default_factory=Spread)
    keyframes: Spread = field(default_factory=Spread)
    operators: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    removed: int = 0
    spans: int = 0
    assumed: int = 0
    rejected: int = 0
    examples: dict[str, list[Sample]] = field(default_factory=dict)
    _files: dict[str, Seen] = field(default_factory=dict)  # of each split, by hash
    _shared: Seen = field(default_factory=Seen)

    @property
    def clips(self) -> int:
        """Rows of the manifest."""
        return sum(split.clips for split in self.splits.values())

    @property
    def questions(self) -> int:
        return sum(split.questions for split in self.splits.values())

    @property
    def captions(self) -> int:
        return sum(split.captions for split in self.splits.values())

    @property
    def degraded(self) -> int:
        """Clips with V'."""
        return sum(split.degraded for split in self.splits.values())

    @property
    def shared(self) -> int:
        """Files whose clips lie in more than one split."""
        return len(self._shared)

    def counted(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Passes rows on, and counts each on the way."""
        for sample in samples:
            self.add(sample)
            yield sample

    def add(self, sample: Sample) -> None:
        """Count one row."""
        split = self.splits.setdefault(sample.split, SplitFacts())
        split.clips += 1
        split.captions += bool(sample.caption.strip())
        split.questions += len(sample.questions)
        split.degraded += sample.degradation is not None
        self.sources.add(sample.source)
        self.media[sample.media] += 1
        self.annotators.add(sample.tags.get("annotator", ""))
        self.spans += len(sample.spans)
        self.assumed += sample.tags.get("times") == "assumed"
        self.rejected += reviews.of(sample) == "rejected"
        if sample.sha256:
            files = self._files.setdefault(sample.split, Seen())
            if files.add(sample.sha256) and sum(sample.sha256 in other for other in self._files.values()) > 1:
                self._shared.add(sample.sha256)
        for question in sample.questions:
            self._ask(question)
        if sample.media == "video":
            self._look(sample)

    def _ask(self, question: Question) -> None:
        name = question.family if question.family in self.families or len(self.families) < 300 else "(others)"
        family = self.families.setdefault(name, FamilyFacts())
        family.questions += 1
        family.static += question.static
        family.kinds[question.kind] += 1

    def _look(self, sample: Sample) -> None:
        if sample.t_s:
            self.frames.add(len(sample.t_s))
            self.durations.add(sample.t_s[-1] - sample.t_s[0])
        if sample.event_share is not None:
            self.share_before.add(sample.event_share[0])
            self.share_after.add(sample.event_share[1])
            self.rare_after += sample.event_share[1] <= RARE + 1e-9
        self.keyframes.add(len(sample.keyframes_idx))
        if (made := sample.degradation) is not None:
            self.operators[made.operator] += 1
            self.replaced.add(len(made.replaced_idx) / len(sample.t_s))
            self.checked += made.removed is not None
            self.removed += bool(made.removed)
            self._remember(sample)

    def _remember(self, sample: Sample) -> None:
        """Keep a few clips to show: of each source the first ones, whose event is really gone in V' and that ask something."""
        if len(self.examples) >= 12 and sample.source not in self.examples:
            return
        kept = self.examples.setdefault(sample.source, [])
        kept.append(sample)
        kept.sort(key=lambda one: (one.degradation is not None and one.degradation.removed is False, not (one.questions or one.caption)))
        del kept[EXAMPLES_A_SOURCE:]
