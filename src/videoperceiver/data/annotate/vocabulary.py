"""What other clips of the data set show: where "does not happen" and further wrong options come from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from heapq import nsmallest

from videoperceiver.data.annotate.events import Event, clean_label
from videoperceiver.data.annotate.prompts import templates
from videoperceiver.scoring.entailment import content_words
from videoperceiver.types import Sample

MOST_LABELS = 1024
"""Labels of a data set that are kept."""
_OFTEN, _OFTEN_SHARE = 5, 0.1


def labels_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The labels of a data set, sorted; of more than `MOST_LABELS` the same ones whatever order they come in."""
    labels = {label for sample in samples for span in sample.spans if (label := clean_label(span.label))}
    return tuple(sorted(nsmallest(MOST_LABELS, labels, key=lambda label: sha256(label.encode()).digest())))


@lru_cache(65_536)
def words_of(label: str) -> frozenset[str]:
    """Its content words."""
    return frozenset(content_words(label))


class Vocabulary:
    """Labels of a data set, compared by their content words.

    Words that a tenth of the labels share ("sign" in "sign BIRD", "sign BOOK") say nothing about whether two labels are alike.

    Args:
        labels: from `labels_of`.
    """

    def __init__(self, labels: Sequence[str] = ()):
        counts = Counter(word for label in labels for word in words_of(label))
        self._often = frozenset(word for word, count in counts.items() if count >= max(_OFTEN, _OFTEN_SHARE * len(labels)))
        unannotated = content_words(templates()["unannotated_words"])
        self.labels = tuple(label for label in labels if words_of(label) and not words_of(label) & unannotated)

    def absent(self, sample: Sample, events: Sequence[Event]) -> tuple[str, ...]:
        """Labels that name nothing this clip is known to show, in the data set's order.

        Half of the telling words of the shorter text in common with a label of the clip, or half of its own in the clip's caption or questions, rule
        a label out. A single word ("runs") may be true of many clips, so it is taken only where the clip's own labels are single words.
        """
        own = [self._telling(event.label) for event in events]
        told = content_words(" ".join([sample.caption, *(f"{question.text} {question.answer}" for question in sample.questions)]))
        least = min(2, max((len(words_of(event.label)) for event in events), default=1))
        found = []
        for label in self.labels:
            words = self._telling(label)
            alike = any(2 * len(words & other) >= min(len(words), len(other)) for other in own) or 2 * len(words & told) >= len(words)
            if len(words_of(label)) >= least and not alike:
                found.append(label)
        return tuple(found)

    def _telling(self, label: str) -> frozenset[str]:
        return words_of(label) - self._often or words_of(label)
