"""Annotated events by name: labels of spans made fit to be quoted in a question."""

import math
import re
import unicodedata
from dataclasses import dataclass

from videoperceiver.types import Sample, Span

MAX_LABEL_CHARS = 160
MOST_EVENTS = 64
"""Events of a clip that are asked about; of more, the first ones."""
TOUCH_S = 0.05
"""Spans that overlap by no more than this follow each other."""
_MARKUP = re.compile(r"<[^<>]*>|\[(?:CLS|SEP|INST|/INST)\]")


@dataclass(frozen=True)
class Event:
    """One thing that happens in a clip.

    Attributes:
        label: what it is, one line, without quotes or markup.
        spans: every time it happens, by start.
    """

    label: str
    spans: tuple[Span, ...]

    @property
    def start_s(self) -> float:
        """When it first begins."""
        return self.spans[0].start_s

    @property
    def end_s(self) -> float:
        """When it is last over."""
        return max(span.end_s for span in self.spans)


def events_of(sample: Sample) -> tuple[Event, ...]:
    """The sample's labelled spans, those of one label together, by first start; spans without a usable label or with impossible times are left out."""
    found: dict[str, list[Span]] = {}
    names: dict[str, str] = {}
    for span in sorted(sample.spans, key=lambda span: (span.start_s, span.end_s)):
        label = clean_label(span.label)
        if not label or not (0 <= span.start_s <= span.end_s < math.inf):
            continue
        names.setdefault(label.casefold(), label)
        found.setdefault(label.casefold(), []).append(span)
    return tuple(Event(names[key], tuple(spans)) for key, spans in found.items())[:MOST_EVENTS]


def clean_label(label: str) -> str:
    """A label as one line without markup, double quotes and final stop; "" where nothing is left or it is longer than `MAX_LABEL_CHARS`."""
    text = _MARKUP.sub(" ", unicodedata.normalize("NFKC", label))
    text = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in text)
    text = " ".join(re.sub(r'["“”„«»`]', "'", text).split()).strip(" .;,:")
    return text if any(map(str.isalnum, text)) and len(text) <= MAX_LABEL_CHARS else ""


def quoted(label: str) -> str:
    """A label as it stands in a question."""
    return f'"{label}"'


def seconds(t_s: float) -> str:
    """A time as it stands in questions and answers: source seconds to a tenth."""
    return f"{t_s:.1f}"


def follow(earlier: Span, later: Span, least_s: float) -> bool:
    """Whether two spans follow each other beyond doubt: apart, and begun at least so many seconds apart."""
    return earlier.end_s <= later.start_s + TOUCH_S and later.start_s - earlier.start_s >= least_s
