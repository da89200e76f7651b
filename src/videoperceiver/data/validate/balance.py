"""How evenly a data set asks: classes of events, families of questions, places of the right option, yes and no. Reported, never enforced.

Counts that should be even (places of right options, yes and no, the answers of a class) are tested by chi-square against even ones. Questions of one clip
are counted as if they were independent, so a note says where to look, not what is proven.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from scipy.stats import chisquare

from videoperceiver.answers import extract
from videoperceiver.types import Question, QuestionKind, Sample

P_SKEWED, EFFECT_SKEWED = 0.01, 0.1
"""A count is called skewed below this p-value and from this effect size on: sqrt(chi2 / n), 0.1 being small by Cohen's convention."""


@dataclass(frozen=True)
class Tally:
    """Counts of one kind of thing.

    Attributes:
        name: what is counted: "events", "families", "places of 4 options", "yes or no", "answers of count".
        counts: value -> how often, most frequent first; for places in their order.
        p_value: of even counts; None where they need not be even, or are too few to tell (fewer than 5 expected of each).
        effect: sqrt(chi2 / n), 0 where even; None as above.
    """

    name: str
    counts: dict[str, int]
    p_value: float | None = None
    effect: float | None = None

    @property
    def num(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    @property
    def is_skewed(self) -> bool:
        """Whether counts that should be even are not, by more than chance and by more than little."""
        return self.p_value is not None and self.effect is not None and self.p_value < P_SKEWED and self.effect >= EFFECT_SKEWED

    @property
    def note(self) -> str:
        """What there is to say: "" where nothing is skewed."""
        if not self.is_skewed:
            return ""
        most = max(self.counts, key=lambda value: self.counts[value])
        share, even = self.counts[most] / self.num, 1 / len(self.counts)
        return f"{self.name}: {most!r} is {share:.0%} of {self.num:,}, where {even:.0%} would be even (p = {self.p_value:.1g})"


@dataclass(frozen=True)
class Balance:
    """How evenly a data set asks.

    Attributes:
        events: labels of annotated events.
        families: of questions.
        kinds: of answers.
        positions: number of options -> places of the right one, by letter.
        yes_no: answers of yes/no questions.
        answers: family -> answers of its questions, where they are of a class.
    """

    events: Tally
    families: Tally
    kinds: Tally
    positions: dict[int, Tally]
    yes_no: Tally
    answers: dict[str, Tally]

    @property
    def tested(self) -> list[Tally]:
        """The counts that should be even."""
        return [*self.positions.values(), self.yes_no, *self.answers.values()]

    @property
    def notes(self) -> list[str]:
        """What is skewed, in words."""
        return [tally.note for tally in self.tested if tally.note]


def balance(samples: Iterable[Sample]) -> Balance:
    """Counts over samples, streamed: what is held are counts."""
    events, families, kinds, yes_no = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    positions: dict[int, Counter[str]] = {}
    classes: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
    for sample in samples:
        events.update(span.label or "(no label)" for span in sample.spans)
        for question in sample.questions:
            families[question.family] += 1
            kinds[question.kind] += 1
            answer = _read(question.answer, question.kind, question.options)
            if answer is None:
                continue
            if question.kind == "choice" and question.options:
                positions.setdefault(len(question.options), Counter())[answer] += 1
            elif question.kind == "yes_no":
                yes_no[answer] += 1
            elif question.options:
                classes.setdefault((question.family, question.options), Counter())[_as_option(answer, question)] += 1
    return Balance(
        Tally("events", dict(events.most_common())),
        Tally("families", dict(families.most_common())),
        Tally("kinds", dict(kinds.most_common())),
        {num: _even(f"places of {num} options", [chr(ord("A") + i) for i in range(num)], counts) for num, counts in sorted(positions.items())},
        _even("yes or no", ["yes", "no"], yes_no),
        _by_family(classes),
    )


def _by_family(classes: dict[tuple[str, tuple[str, ...]], Counter[str]]) -> dict[str, Tally]:
    """Families whose questions all have one class of answers; where each has its own, "even" means nothing."""
    num_classes = Counter(family for family, _ in classes)
    return {family: _even(f"answers of {family}", list(options), counts) for (family, options), counts in sorted(classes.items()) if num_classes[family] == 1}


def _even(name: str, values: list[str], counts: Counter[str]) -> Tally:
    """Counts of known values, tested against even ones."""
    listed = {value: counts[value] for value in values}
    num = sum(listed.values())
    if len(values) < 2 or num < 5 * len(values):
        return Tally(name, listed)
    found = chisquare(list(listed.values()))
    return Tally(name, listed, float(found.pvalue), float((found.statistic / num) ** 0.5))


@lru_cache(maxsize=65_536)
def _read(answer: str, kind: QuestionKind, options: tuple[str, ...]) -> str | None:
    return extract(answer, kind, options)


def _as_option(answer: str, question: Question) -> str:
    """An answer as its class spells it: "3" and "three" are one."""
    return next((option for option in question.options if _read(option, question.kind, ()) == answer or option == answer), answer)
