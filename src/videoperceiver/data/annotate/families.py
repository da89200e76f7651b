"""What can be asked about annotated events, family by family; every answer follows from labels and times alone.

A family is a function from what is known of a clip to drafts. What the annotation cannot settle is not asked: events that overlap or begin within
half a second of each other have no order, a moment belongs to an event only if no other is near, what comes next is asked among options, and how many
times something happens is asked only where something happens more than once (else the answer would always be 1).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, permutations, zip_longest

import numpy as np

from videoperceiver.answers import TIME_TOLERANCE_S
from videoperceiver.data.annotate.events import Event, follow, quoted, seconds
from videoperceiver.data.annotate.prompts import templates
from videoperceiver.data.annotate.questions import Draft
from videoperceiver.data.annotate.vocabulary import words_of
from videoperceiver.scoring.entailment import content_words
from videoperceiver.types import Span

CLEAR_S = 0.3
"""A moment of an event is asked about only where every other event is at least this far away."""
MOST_ORDERED = 16
"""Events of a clip whose pairs are asked about."""
_MOMENT_S = 0.15
_GAP = "___"


@dataclass(frozen=True)
class Known:
    """What is known of a clip.

    Attributes:
        events: by first start.
        foreign: labels of other clips that name nothing this one shows.
        rng: draws wording, pairs and which side of a yes/no question is asked.
    """

    events: tuple[Event, ...]
    foreign: tuple[str, ...]
    rng: np.random.Generator

    @cached_property
    def clear(self) -> tuple[Event, ...]:
        """Events whose label neither contains another event's nor is contained in it: "left bottle taken away" also happens in "left and middle bottles taken
        away", so its times, counts and order are not asked."""
        words = [words_of(event.label) for event in self.events]
        alike = [any(own and other and (own <= other or other <= own) for j, other in enumerate(words) if j != i) for i, own in enumerate(words)]
        return tuple(event for event, is_alike in zip(self.events, alike, strict=True) if not is_alike)

    def say(self, family: str, key: str | None = None, **slots: str) -> str:
        """One of the paraphrases, its slots filled in."""
        wordings = templates()[family] if key is None else templates()[family][key]
        return wordings[int(self.rng.integers(len(wordings)))].format(**slots)

    def shuffled(self, items: Sequence[str]) -> tuple[str, ...]:
        """The items in a drawn order."""
        return tuple(items[int(i)] for i in self.rng.permutation(len(items)))

    def elsewhere(self, label: str) -> tuple[str, ...]:
        """Labels of other clips as wrong options beside one of this clip: first those that share a word with it, then others that share none with each other,
        so that the right one does not stand out."""
        near = [other for other in self.foreign if words_of(other) & words_of(label)]
        seen = set(words_of(label))
        for other in self.foreign:
            if not words_of(other) & seen:
                seen |= words_of(other)
                near.append(other)
        return tuple(near)

    def others(self, *events: Event) -> tuple[str, ...]:
        """Labels of the clip's other events, in a drawn order."""
        return self.shuffled([event.label for event in self.events if event not in events])


def when(known: Known) -> Iterator[Draft]:
    """At what time an event begins; of one that repeats, its first or last time. What begins so early that "at the start" would do is asked with options."""
    starts = [span.start_s for event in known.events for span in event.spans]
    for event in known.clear:
        places = {"once": event.spans[0]} if len(event.spans) == 1 else {"first": event.spans[0], "last": event.spans[-1]}
        for place, span in places.items():
            wrong = _apart([span.start_s], known.rng.permutation(starts).tolist())
            text = known.say("when", place, event=quoted(event.label))
            early = True if span.start_s <= TIME_TOLERANCE_S else None
            yield Draft("when", text, _at(span.start_s), "time", wrong=tuple(map(_at, wrong)), choice=early)


def count(known: Known) -> Iterator[Draft]:
    """How many times; asked about what repeats, and about as many events that do not."""
    counts = [len(event.spans) for event in known.events]
    repeated = [event for event in known.clear if len(event.spans) > 1]
    single = [event for event in known.clear if len(event.spans) == 1]
    for event in [*repeated, *(single[int(i)] for i in known.rng.permutation(len(single))[: len(repeated)])]:
        right = len(event.spans)
        near = [*known.shuffled([str(number) for number in sorted(set(counts) - {right})]), str(right + 1), str(right - 1), str(right + 2), str(right + 3)]
        yield Draft("count", known.say("count", event=quoted(event.label)), str(right), "number", wrong=tuple(n for n in near if n != "0"))


def order(known: Known) -> Iterator[Draft]:
    """Before and after, first and last, next and previous, and the order of three."""
    single = [event for event in known.clear if len(event.spans) == 1][:MOST_ORDERED]
    for first, second in combinations(known.clear[:MOST_ORDERED], 2):
        if follow(Span(first.start_s, first.end_s), second.spans[0], TIME_TOLERANCE_S):
            yield from _pair(known, first, second)
    chain = [event for event in single if all(other is event or _in_order(event, other) or _in_order(other, event) for other in single)]
    if len(chain) >= 3:
        yield from _ends(known, chain)
        yield from _sequence(known, chain)
    yield from _neighbours(known)


def _pair(known: Known, first: Event, second: Event) -> Iterator[Draft]:
    relation, shown = ("before", "after")[int(known.rng.integers(2))], known.shuffled([first.label, second.label])
    answer = "yes" if (relation == "before") == (shown[0] == first.label) else "no"
    text = known.say("order", relation, first=quoted(shown[0]), second=quoted(shown[1]))
    yield Draft("order", text, answer, "yes_no", choice=False)
    shown = known.shuffled([first.label, second.label])
    text = known.say("order", "which_first", first=quoted(shown[0]), second=quoted(shown[1]))
    yield Draft("order", text, first.label, "word", classes=shown, choice=False)


def _ends(known: Known, chain: Sequence[Event]) -> Iterator[Draft]:
    """First and last of all events, where nothing else comes earlier or later."""
    for place, event in (("first_of", chain[0]), ("last_of", chain[-1])):
        if all(other is event or (_in_order(event, other) if place == "first_of" else _in_order(other, event)) for other in known.events):
            yield Draft("order", known.say("order", place), event.label, "word", wrong=known.others(event), choice=True)


def _sequence(known: Known, chain: Sequence[Event]) -> Iterator[Draft]:
    chosen = [chain[i].label for i in sorted(known.rng.choice(len(chain), 3, replace=False).tolist())]
    orders = [", then ".join(map(quoted, labels)) for labels in permutations(chosen)]
    first, second, third = map(quoted, known.shuffled(chosen))
    text = known.say("order", "sequence", listed=f"{first}, {second} and {third}")
    yield Draft("order", text, orders[0], "order", wrong=known.shuffled(orders[1:]))


def _neighbours(known: Known) -> Iterator[Draft]:
    """Which of the clip's events comes next after one, or last before it; among options, so that it holds if something was not annotated."""
    spans = sorted(((span, event) for event in known.events for span in event.spans), key=lambda pair: pair[0].start_s)
    for i, ((before, first), (after, second)) in enumerate(pairwise(spans)):
        if first is second or not {first, second} <= set(known.clear) or not follow(before, after, TIME_TOLERANCE_S):
            continue
        clear_after = i + 2 >= len(spans) or spans[i + 2][0].start_s - after.start_s >= TIME_TOLERANCE_S
        clear_before = all(span.end_s <= before.start_s + TIME_TOLERANCE_S for span, _ in spans[:i])
        others = known.others(first, second)
        if len(first.spans) == 1 and clear_after:
            yield Draft("order", known.say("order", "next", event=quoted(first.label)), second.label, "open", wrong=others, choice=True)
        if len(second.spans) == 1 and clear_before and all(span.end_s <= before.end_s for span, _ in spans[:i]):
            yield Draft("order", known.say("order", "previous", event=quoted(second.label)), first.label, "open", wrong=others, choice=True)


def which(known: Known) -> Iterator[Draft]:
    """Which of these happens at a moment, against the clip's other events; or at all, against those of other clips."""
    for event, span in _alone(known):
        at = seconds((span.start_s + span.end_s) / 2)
        if not all(other is event or all(_distance(float(at), other_span) >= CLEAR_S for other_span in other.spans) for other in known.events):
            continue
        if known.rng.integers(2):
            yield Draft("which", known.say("which", "at_open", t=at), event.label, "open", choice=False)
        else:
            wrong, foreign = known.others(event), known.elsewhere(event.label)
            yield Draft("which", known.say("which", "at", t=at), event.label, "open", wrong=wrong, foreign=foreign, choice=True)
    for event in known.events:
        yield Draft("which", known.say("which", "any"), event.label, "open", foreign=known.elsewhere(event.label), choice=True)


def happens(known: Known) -> Iterator[Draft]:
    """Whether it happens at all: as often about what other clips show as about the clip's own events; not at all where nothing else is known."""
    events = [known.events[int(i)] for i in known.rng.permutation(len(known.events))]
    absent = list(dict.fromkeys(label for labels in zip_longest(*(known.elsewhere(event.label) for event in events)) for label in labels if label))
    absent = absent[: len(events)]
    present = [event.label for event in events][: len(absent)]
    sides = [(label, "yes") for label in present], [(label, "no") for label in absent]
    first = int(known.rng.integers(2))
    for pair in zip(sides[first], sides[1 - first], strict=True):
        for label, answer in pair:
            yield Draft("happens", known.say("happens", event=quoted(label)), answer, "yes_no", choice=False)


def changed(known: Known) -> Iterator[Draft]:
    """What is different after an event whose label says that something changes."""
    changes = content_words(templates()["change_words"])
    for event, span in _alone(known):
        if not words_of(event.label) & changes:
            continue
        start, end = seconds(span.start_s), seconds(span.end_s)
        text = known.say("changed", "moment" if span.end_s - span.start_s < _MOMENT_S else "stretch", start=start, end=end)
        yield Draft("changed", text, event.label, "open", wrong=known.others(event), foreign=known.elsewhere(event.label))


def motion(known: Known) -> Iterator[Draft]:
    """Direction or speed, where the label says one; the label is shown with a gap."""
    for event in known.events:
        for key in ("direction", "speed"):
            classes = templates()[f"{key}s"]
            found = next(((words, *gapped) for words in classes if (gapped := _gapped(event.label, words, is_direction=key == "direction"))), None)
            if found is not None:
                words, said, label = found
                wrong = tuple(word for word in words if word != said)
                yield Draft("motion", known.say("motion", key, event=quoted(label)), said, "word", classes=known.shuffled(words), wrong=wrong)


FAMILIES: Mapping[str, Callable[[Known], Iterator[Draft]]] = {
    "when": when,
    "count": count,
    "order": order,
    "which": which,
    "happens": happens,
    "changed": changed,
    "motion": motion,
}
"""Every family of `stages.QUESTION_FAMILIES`."""


def _at(t_s: float) -> str:
    return f"{seconds(t_s)} seconds"


def _apart(taken: Sequence[float], times: Sequence[float]) -> list[float]:
    """The times that lie at least twice the tolerance from those taken and from each other."""
    kept = list(taken)
    for time in times:
        if all(abs(time - other) >= 2 * TIME_TOLERANCE_S for other in kept):
            kept.append(time)
    return kept[len(taken) :]


def _in_order(first: Event, second: Event) -> bool:
    return follow(Span(first.start_s, first.end_s), second.spans[0], TIME_TOLERANCE_S)


def _alone(known: Known) -> Iterator[tuple[Event, Span]]:
    """Occurrences of clear events that no other event overlaps."""
    for event in known.clear:
        for span in event.spans:
            others = (other_span for other in known.events if other is not event for other_span in other.spans)
            if all(other.end_s <= span.start_s + 0.05 or other.start_s >= span.end_s - 0.05 for other in others):
                yield event, span


def _distance(t_s: float, span: Span) -> float:
    return max(span.start_s - t_s, t_s - span.end_s, 0.0)


def _gapped(label: str, words: Sequence[str], *, is_direction: bool) -> tuple[str, str] | None:
    """The one word of a class that a label says, and the label with a gap for it; None where it says none, or gives the answer away elsewhere.

    Left and right are directions only after "to the" and after a verb at the label's end ("swerves left"): "left bottle" is none.
    """
    alternatives = "|".join(map(re.escape, words))
    pattern = rf"\b({alternatives})\b"
    if is_direction and "left" in words:
        pattern = rf"(?<=\bto the )({alternatives})\b|(?<=[a-z]s )({alternatives})$"
    found = list(re.finditer(pattern, label, re.IGNORECASE))
    if len(found) != 1 or len(re.findall(rf"\b(?:{alternatives})\b", label, re.IGNORECASE)) != 1:
        return None
    return found[0][0].lower(), label[: found[0].start()] + _GAP + label[found[0].end() :]
