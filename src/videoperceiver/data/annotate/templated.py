"""Captions and temporal questions from annotated events, without a model: the embedded default where spans carry labels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from videoperceiver.data.annotate.events import TOUCH_S, Event, events_of, seconds
from videoperceiver.data.annotate.families import FAMILIES, Known
from videoperceiver.data.annotate.prompts import templates, version_of
from videoperceiver.data.annotate.questions import Draft, compose
from videoperceiver.data.annotate.vocabulary import Vocabulary
from videoperceiver.errors import SampleError
from videoperceiver.stages import AnnotateConfig
from videoperceiver.types import Clip, Question, Sample

REVISION = 1
"""Raised whenever the same events and wording would give other questions."""
_STREAM = 8
_SETTINGS = ("captions", "questions", "families", "choice_share", "num_options")


class TemplatedAnnotator:
    """Adds to each sample what follows from its labelled spans, drawn by the sample's own seed; a sample without any is left as it is.

    Args:
        config: what to write, and how much.
        labels: of the whole data set (`vocabulary.labels_of`), for what does not happen in a clip.
    """

    name = "templated"
    needs_frames = False

    def __init__(self, config: AnnotateConfig, labels: Sequence[str] = ()):
        self._config, self._vocabulary = config, Vocabulary(labels)
        settings = {name: value for name, value in asdict(config).items() if name in _SETTINGS}
        self.version = version_of(["templates.yaml"], {"revision": REVISION, "labels": list(labels), **settings})
        self._written: Counter[str] = Counter()

    def annotate(self, items: Iterable[tuple[Sample, Clip | None]]) -> Iterator[Sample | SampleError]:
        """The samples in order, captions and questions added."""
        for sample, _ in items:
            yield self._annotated(sample)

    def spent(self) -> dict[str, Any]:
        """What was written; it costs nothing."""
        return dict(self._written)

    def _annotated(self, sample: Sample) -> Sample:
        events = events_of(sample)
        if not events:
            return sample
        caption = sample.caption or (caption_of(events) if self._config.captions else "")
        questions, origins = self._questions(sample, events) if self._config.questions else ((), {})
        if caption == sample.caption and not questions:
            return sample
        self._written.update(samples=1, captions=int(caption != sample.caption), questions=len(questions))
        tags = {**sample.tags, "annotator": f"{self.name}@{self.version[:8]}"}
        if origins:
            tags["wrong_options"] = "; ".join(f"{name}: {origin}" for name, origin in origins.items())
        return replace(sample, caption=caption, questions=(*sample.questions, *questions), tags=tags)

    def _questions(self, sample: Sample, events: tuple[Event, ...]) -> tuple[tuple[Question, ...], dict[str, str]]:
        """At most as many as asked for, families in turn; and where the wrong options of each came from."""
        rng = np.random.default_rng([sample.seed, _STREAM])
        known = Known(events, tuple(rng.permutation(self._vocabulary.absent(sample, events)).tolist()), rng)
        names = [name for name in FAMILIES if not self._config.families or name in self._config.families]
        drafts = {name: list(FAMILIES[name](known)) for name in names}
        taken, found, origins = {question.id for question in sample.questions}, [], {}
        for draft in _in_turn(drafts, rng):
            if len(found) == self._config.questions:
                break
            name = next(name for i in range(1, 1_000_000) if (name := f"{draft.family}-{i}") not in taken)
            with_options = bool(rng.random() < self._config.choice_share)
            if (made := compose(draft, name, with_options=with_options, num_options=self._config.num_options, rng=rng)) is None:
                continue
            taken.add(name)
            found.append(made[0])
            if made[1]:
                origins[name] = made[1]
        return tuple(found), origins


def caption_of(events: Sequence[Event]) -> str:
    """All that happens, by start, one sentence an occurrence."""
    spans = sorted(((span, event.label) for event in events for span in event.spans), key=lambda pair: (pair[0].start_s, pair[0].end_s))
    wording = templates()["caption"]
    sentences = []
    for span, label in spans:
        start, end = seconds(span.start_s), seconds(span.end_s)
        short = span.end_s - span.start_s <= 2 * TOUCH_S or start == end
        sentences.append(wording["moment" if short else "stretch"].format(start=start, end=end, label=label))
    return " ".join(sentences)


def _in_turn(drafts: dict[str, list[Draft]], rng: np.random.Generator) -> Iterator[Draft]:
    """One draft of each family after the other, families and their drafts in a drawn order; paired yes/no questions keep theirs."""
    queues = []
    for name in rng.permutation(sorted(drafts)).tolist():
        own = drafts[name]
        queues.append(own if name == "happens" else [own[int(i)] for i in rng.permutation(len(own))])
    for i in range(max(map(len, queues), default=0)):
        yield from (queue[i] for queue in queues if i < len(queue))
